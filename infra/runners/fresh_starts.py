"""For which files a session is replaced by a fresh one: that costs a start of pytest. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from .spec import Message

# So many files in a row that a fresh session could not load either.
MOST_IN_VAIN = 3


class FreshStarts:
    """What became of the files that a session could not load after cases had run in it.

    Plain pytest has imported all files before the first case: what a case broke is no fault of
    theirs. But files may be broken here whatever runs before, and there may be hundreds of them.
    """

    def __init__(self) -> None:
        # They could not be loaded where nothing had run, or nobody cared.
        self._hopeless: set[str] = set()
        self._tried: set[str] = set()
        self._in_vain = 0

    def hear(self, collected: Message) -> None:
        """A session has looked into a file, and says what it holds."""
        file = collected["file"]
        tried = file in self._tried
        self._tried.discard(file)
        if collected["errors"]:
            self._hopeless.add(file)
            self._in_vain += tried
        elif tried and self.allowed:
            self._in_vain = 0

    def spoilt(self, file: str) -> None:
        """The session is replaced for that one."""
        self._tried.add(file)

    @property
    def allowed(self) -> bool:
        """Whether another session may still be replaced here."""
        return self._in_vain < MOST_IN_VAIN

    def hopeless(self, files: Iterable[str]) -> list[str]:
        """Those of the files for which no session is replaced."""
        return sorted(self._hopeless.intersection(files))
