"""What of its suite a campaign was asked for: what it left aside is not gone."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

from ...infra.ledgers.record import CampaignRecord
from ...infra.records import Case

# Options of pytest that leave out cases, and those that make paths say less than they seem to.
_NARROWING = ("-k", "-m", "--deselect")
_OF_FILES = ("--ignore", "--pyargs")
# Where what a path names may end within an id.
_END = re.compile(r"(?=/|::|\[)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """How a case that a campaign does not have is told from one that is not there any more."""

    # What was there and not asked for; None where nobody wrote that down.
    unselected: frozenset[str] | None = frozenset()
    # Whether cases were left out by an expression, or because they had passed.
    narrowed: bool = False
    # How the ids of what the paths name may begin; empty where all was asked for.
    beginnings: frozenset[str] = frozenset()
    # The files that something was found in, where only these tell which were asked for.
    files: frozenset[str] | None = None

    def leaves_out(self, case: Case) -> bool:
        """Whether the campaign was not asked for the case."""
        if self.unselected is None and self.narrowed:
            return True
        if case.id in (self.unselected or ()):
            return True
        if self.files is not None:
            return case.group not in self.files
        # Looked up: both cases and paths may be many thousands.
        return bool(self.beginnings) and self.beginnings.isdisjoint(_namings(case.id))


def selection_of(record: CampaignRecord) -> Selection:
    """As its newest writer was asked, and as it was found."""
    asked = record.header.settings.get("request", {})
    options = [str(each) for each in asked.get("pytest_args", ())]
    narrowed = asked.get("keyword") or asked.get("marks") or asked.get("last_failed")
    unselected = record.unselected
    files: frozenset[str] | None = None
    if any(each.startswith(_OF_FILES) for each in options):
        others = (each.partition("::")[0] for each in unselected or ())
        files = frozenset((*(case.group for case in record.cases.values()), *others))
    return Selection(
        unselected=unselected,
        narrowed=bool(narrowed) or any(each.startswith(_NARROWING) for each in options),
        beginnings=frozenset(_beginnings(record.header.root, asked.get("paths", ()))),
        files=files,
    )


def _beginnings(root: str, paths: Iterable[str]) -> Iterator[str]:
    """Ids are relative to pytest's rootdir: that of the ini file, here or above."""
    for path in paths:
        file, colons, rest = path.partition("::")
        place = PurePath(os.path.normpath(Path(root, file)))
        for above in (PurePath(root), *PurePath(root).parents):
            if place.is_relative_to(above):
                yield place.relative_to(above).as_posix() + colons + rest


def _namings(case: str) -> Iterator[str]:
    """Whatever names a case, alone or with others."""
    # The whole of a root is ".".
    yield "."
    yield case
    for end in _END.finditer(case):
        yield case[: end.start()]
