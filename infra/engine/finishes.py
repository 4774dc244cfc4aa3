"""What sessions say when they end: what hooks make of exit codes, and what held one up. Pure.

A hook sees its session's own part of the cases. So what it makes of a code counts for a campaign
that ends with this same code: who turns 0 into 7 does so with the campaign's 0, and has nothing to
say of one whose cases failed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# pytest's own: all passed, some failed, there were none.
_PASSED, _FAILED, _NONE = 0, 1, 5


class Finishes:
    """The codes that sessions came to, and what their hooks made of them."""

    def __init__(self) -> None:
        self._said: dict[int, set[int]] = {}
        self._why = ""
        self._has_overstayed = False

    def hear(self, message: Mapping[str, Any]) -> None:
        """A session has ended."""
        self._said.setdefault(message["own"], set()).add(message["code"])
        self._why = self._why or message.get("why", "")

    def overstayed(self, message: Mapping[str, Any]) -> str:
        """A session did not end by itself: a sentence on the first, as others are like it."""
        if self._has_overstayed:
            return ""
        self._has_overstayed = True
        seconds, threads = message["seconds"], message["threads"]
        if threads:
            rest = f" and {len(threads) - 3} more" if len(threads) > 3 else ""
            held = f"threads that tests left behind still ran ({', '.join(threads[:3])}{rest})"
            remedy = "join such threads, or make them daemons"
        else:
            held = "an exit handler, or a process of multiprocessing, did not end"
            remedy = "see what the tests register with atexit, and what processes they start"
        return f"a session was ended {seconds:g} s after all its work was done: {held}; {remedy}"

    def judge(self, code: int) -> tuple[int, str]:
        """What is to become of a campaign's exit code, and a sentence on it if it is news."""
        if code not in (_PASSED, _FAILED, _NONE):
            # It was not pytest's to begin with.
            return code, ""
        made = max(self._said.get(code, {code}))
        if made == code:
            return code, ""
        if code == _FAILED and made == _PASSED:
            return code, (
                f"a hook of the project made exit code {made} of {code} in its session; a campaign"
                f" with failed cases ends with {code} (`--mute PATTERN` is for those that may fail)"
            )
        return made, (
            f"a hook of the project made exit code {made} of {code} as its session ended"
            f" ({self._why or 'each has its own part of the cases'}), so the campaign ends with it"
        )
