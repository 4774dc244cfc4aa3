"""Cases of different files that pytest gives one id."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .texts import plain_text


class Namesakes:
    """Tells apart the cases of files outside the root.

    pytest names such a file by its way from what was asked for: of `--pyargs one two` each may have
    a tests/test_x.py. Whoever collects gives the id to the file that comes first; others go by
    their way from the root. A session that loads only some of these files cannot know which came
    first, so it finds a case by its file.
    """

    def __init__(self, file_of: Callable[[Any], str]) -> None:
        self.file_of = file_of
        self.owners: dict[str, str] = {}
        self.outside: dict[tuple[str, str], Any] = {}

    def name_of(self, item: Any) -> str:
        """What it goes by."""
        case = plain_text(item.nodeid)
        file = self.file_of(item)
        # Whose id begins with its file shares it with no other file's case.
        if case.startswith(file) or self.owners.setdefault(case, file) == file:
            return case
        return f"{file}::{within(case)}"

    def keep(self, item: Any) -> None:
        case = plain_text(item.nodeid)
        file = self.file_of(item)
        if not case.startswith(file):
            self.outside.setdefault((file, within(case)), item)

    def right_one(self, found: Any, case: str, file: str) -> Any:
        """The case of this file, where one of its id was found or none."""
        if not self.outside or (found is not None and self.file_of(found) == file):
            return found
        return self.outside.get((file, within(case)))


def within(case: str) -> str:
    """What follows the file in an id; some plugins' ids name no file."""
    return case.partition("::")[2] or case
