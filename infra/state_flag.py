"""What a command that is proposed needs to find the same state directory."""

from __future__ import annotations

import re
import shlex
from collections.abc import Generator
from contextlib import contextmanager

from .errors import ProctorError

# As messages quote them; other machines, which join, have a state of their own.
_COMMAND = re.compile(r"`(proctor (?!join\b)[^`]+?)( -- [^`]*)?`")


def state_flag(given: object) -> str:
    """As it was typed, such as " --state DIR"; empty where it is found without."""
    return f" --state {shlex.quote(str(given))}" if given else ""


@contextmanager
def remedies_find(given: object) -> Generator[None]:
    """Commands that a problem proposes find the state that was typed: who raises it needs not."""
    try:
        yield
    except ProctorError as problem:
        problem.remedy = with_state(problem.remedy, state_flag(given))
        raise


def with_state(text: str, flag: str) -> str:
    """The text, with the flag in each command that it proposes and that has none yet."""
    if not flag:
        return text

    def flagged(found: re.Match[str]) -> str:
        command, rest = found[1], found[2] or ""
        return f"`{command}{'' if ' --state ' in command else flag}{rest}`"

    return _COMMAND.sub(flagged, text)
