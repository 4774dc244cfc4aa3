"""What the project's hooks make of exit codes, as each session says when it ends. Pure.

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

    def hear(self, message: Mapping[str, Any]) -> None:
        """A session has ended."""
        self._said.setdefault(message["own"], set()).add(message["code"])
        self._why = self._why or message.get("why", "")

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
