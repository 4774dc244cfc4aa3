"""What a command that is proposed needs to find the same state directory."""

from __future__ import annotations

import shlex


def state_flag(given: object) -> str:
    """As it was typed, such as " --state DIR"; empty where it is found without."""
    return f" --state {shlex.quote(str(given))}" if given else ""
