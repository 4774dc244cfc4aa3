"""The working directory that each case should find, whatever the one before it did."""

from __future__ import annotations

from typing import Any

from .system import System


class Directory:
    """Where the session began, and where its cases begin by now."""

    def __init__(self) -> None:
        self.home = self.expected = System.getcwd()
        # Fixtures that changed the directory for more than one case, and from where.
        self.movers: dict[int, str] = {}

    def begin(self) -> None:
        """The session starts here: the conftest.py files at its root have been imported."""
        self.home = self.expected = System.getcwd()

    def settle(self) -> None:
        """What has been changed outside of any case stays so."""
        try:
            self.expected = System.getcwd()
        except OSError:
            System.chdir(self.home)
            self.expected = self.home

    def restore(self) -> bool:
        """Go back to where cases begin; whether that was necessary."""
        try:
            if System.getcwd() == self.expected:
                return False
        except OSError:
            # It has been removed.
            pass
        try:
            System.chdir(self.expected)
        except OSError:
            self.expected = self.home
            System.chdir(self.home)
        return True

    def current(self) -> str:
        try:
            return System.getcwd()
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
