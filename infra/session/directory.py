"""The working directory that each case should find, whatever the one before it did."""

# os's functions are several times faster than pathlib's, and these run for each case.
# ruff: noqa: PTH109

from __future__ import annotations

import os
from typing import Any


class Directory:
    """Where the session began, and where its cases begin by now."""

    def __init__(self) -> None:
        self.home = self.expected = os.getcwd()
        # Fixtures that changed the directory for more than one case, and from where.
        self.movers: dict[int, str] = {}

    def begin(self) -> None:
        """The session starts here: the conftest.py files at its root have been imported."""
        self.home = self.expected = os.getcwd()

    def settle(self) -> None:
        """What has been changed outside of any case stays so."""
        try:
            self.expected = os.getcwd()
        except OSError:
            os.chdir(self.home)
            self.expected = self.home

    def restore(self) -> bool:
        """Go back to where cases begin; whether that was necessary."""
        try:
            if os.getcwd() == self.expected:
                return False
        except OSError:
            # It has been removed.
            pass
        try:
            os.chdir(self.expected)
        except OSError:
            self.expected = self.home
            os.chdir(self.home)
        return True

    def current(self) -> str:
        try:
            return os.getcwd()
        except OSError:
            return self.home

    def note_mover(self, fixture: Any, before: str) -> None:
        """A module-wide change of directory is meant to last, not to be undone by us."""
        after = self.current()
        if after != before:
            self.expected = after
            self.movers[id(fixture)] = before

    def forget_mover(self, fixture: Any) -> None:
        before = self.movers.pop(id(fixture), None)
        if before is not None:
            self.expected = before
