"""Known secrets are taken out of everything that is kept or shown.

Tests print what they are given. What the environment calls a token, a password or a key is
replaced before a record leaves the worker, so no ledger, log or report ever holds it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# Whole words where a longer word is harmless: GIT_AUTHOR_NAME, KEYBOARD.
_NAMES = re.compile(
    r"TOKEN|SECRET|PASSWD|PASSWORD|CREDENTIAL|API_?KEY|(?:^|_)(?:AUTH|KEY)(?:$|_)", re.IGNORECASE
)
# What stands before the host in an address, in any text.
_IN_ADDRESS = re.compile(r"://[^\s'\"]*@")
# Shorter values stand in ordinary text too often: "1", "true", "test".
SHORTEST = 8
SUBSTITUTE = "[secret]"


def is_secret(name: str) -> bool:
    """Whether a variable of this name holds what nobody may read."""
    return _NAMES.search(name) is not None


def without_passwords(text: str) -> str:
    """The text with a substitute for the names and passwords that addresses in it carry."""
    return _IN_ADDRESS.sub(f"://{SUBSTITUTE}@", text)


class Scrubber:
    """Replaces known values in texts."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        values = {
            value
            for name, value in environment.items()
            if len(value) >= SHORTEST and is_secret(name)
        }
        # Longest first: one secret may begin like another.
        ordered = sorted(values, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def text(self, text: str) -> str:
        return text if self._pattern is None else self._pattern.sub(SUBSTITUTE, text)

    def message(self, message: dict[str, Any]) -> None:
        """Scrub what a runner says of a case, in place; ids stay, they name things."""
        if self._pattern is None:
            return
        if message.get("message"):
            message["message"] = self.text(message["message"])
        if message.get("text"):
            text = message["text"]
            message["text"] = (
                self.text(text)
                if isinstance(text, str)
                else [(section, self.text(part)) for section, part in text]
            )
        if message.get("props"):
            message["props"] = [
                (name, self.text(value) if isinstance(value, str) else value)
                for name, value in message["props"]
            ]
        if message.get("notes"):
            message["notes"] = [self.text(note) for note in message["notes"]]
