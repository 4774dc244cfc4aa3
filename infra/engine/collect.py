"""From what pytest found to cases with requirements, whole suites or a file at a time."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import BadSetting
from ..ledgers.lines import WIDENED
from ..records import Case, Requirements

# So many files that cannot be collected are told with the reason.
REASONS_TOLD = 5
# So many ids that are not asked for are written down: one test of 200,000 is to leave no 16 MB.
MOST_UNSELECTED = 20_000
_PLACE = re.compile(r'File ".*", line (\d+)')
# Requirements and time-out of a case, from its id and its markers.
Needs = Callable[[str, list[dict[str, Any]]], tuple[Requirements, float | None]]


@dataclass(slots=True)
class Collection:
    """Cases as they are found; ids are unique and keep the order they came in."""

    needs_of: Needs
    # Only these ids are wanted; None means all.
    only: frozenset[str] | None = None
    # What a case asks for beyond what it says; the same object where there is nothing to add.
    learned: Callable[[Case], Case] = lambda case: case
    cases: dict[str, Case] = field(default_factory=dict[str, Case])
    # Cases that ask for more than they say, as they say it: what an inventory keeps.
    as_stated: dict[str, Case] = field(default_factory=dict[str, Case])
    # Cases whose needs cannot be read, which are not guessed; why.
    unreadable: dict[str, BadSetting] = field(default_factory=dict[str, BadSetting])
    # Ids that pytest found and deselected; None where these were too many to keep.
    deselected: frozenset[str] | None = frozenset()
    skipped_files: dict[str, str] = field(default_factory=dict[str, str])
    errors: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    # Everything each file holds, wanted or not: what a later look is compared with.
    ids_by_file: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    # Cases that stand for whole files: skipped at import, or broken.
    stand_ins: int = 0
    _next_index: int = 0
    # Of the cases; counted, for it is asked for with every few that are found.
    _wanted_count: int = 0

    @property
    def total(self) -> int:
        """How many cases there are to settle, those included that stand for whole files."""
        return self._wanted_count + self.stand_ins

    def restore(self, cases: Mapping[str, Case] | list[Case]) -> None:
        """Start from cases that are known already."""
        for case in cases.values() if isinstance(cases, Mapping) else cases:
            self._keep(case)

    def item(self, message: Mapping[str, Any]) -> Case | None:
        """Take in one found item; None when it is known, deselected, not wanted or unreadable."""
        case_id: str = message["id"]
        if message.get("deselected") or case_id in self.cases:
            return None
        try:
            needs, timeout = self.needs_of(case_id, message["marks"])
        except BadSetting as problem:
            self.unreadable[case_id] = problem
            return None
        case = Case(
            id=case_id,
            group=message["file"],
            index=self._next_index,
            needs=needs,
            timeout_seconds=timeout,
            tags=tuple(dict.fromkeys(mark["name"] for mark in message["marks"])),
        )
        case = self._keep(case)
        return case if self.wants(case_id) else None

    def wanted(self) -> list[Case]:
        return [case for case in self.cases.values() if self.wants(case.id)]

    def deselect(self, ids: Sequence[str]) -> None:
        """All was found, and these are not to run."""
        self.deselected = frozenset(ids) if len(ids) <= MOST_UNSELECTED else None

    def widen(self) -> str:
        """As pytest's --lf: where none of what is wanted is among all there is, all of that is.

        Returns what to say of it; empty where it changes nothing.
        """
        if self.only is None or not self.cases or any(map(self.wants, self.cases)):
            return ""
        failed = "1 case" if len(self.only) == 1 else f"{len(self.only)} cases"
        self.only = None
        self._wanted_count = len(self.cases)
        return f"{WIDENED}({failed}) is not asked for now, so all run"

    def unselected(self) -> list[str] | None:
        """What is there and is not asked for, once all was found; None of too many."""
        if self.deselected is None:
            return None
        aside = [*(each for each in self.cases if not self.wants(each)), *sorted(self.deselected)]
        return aside if len(aside) <= MOST_UNSELECTED else None

    def skipped_file(self, case_id: str, why: str) -> Case | None:
        """The case that stands for a file which skips itself; None when it is known."""
        if case_id in self.skipped_files:
            return None
        self.skipped_files[case_id] = why
        return self.stand_in(case_id)

    def stand_in(self, file: str) -> Case:
        """A case that stands for a whole file."""
        self.stand_ins += 1
        # An interrupted campaign may have had it already: it is the same one.
        if (known := self.drop(file)) is not None:
            return known
        case = Case(id=file, group=file, index=self._next_index)
        self._next_index += 1
        return case

    def hear(self, message: Mapping[str, Any]) -> None:
        """Take in whatever a collecting session says."""
        match message["k"]:
            case "item":
                self.item(message)
            case "skipped-file":
                self.skipped_file(message["id"], message["text"])
            case "collect-error":
                self.error(message)
            case _:
                pass

    def check_needs(self, ids: Iterable[str]) -> None:
        """Refuse to guess what cases need: all that cannot be read are told at once, one a line."""
        problems = [self.unreadable[each] for each in ids if each in self.unreadable]
        if len(problems) == 1:
            raise problems[0]
        if problems:
            raise BadSetting(
                f"what {len(problems)} cases need cannot be read", problems=[*map(str, problems)]
            )
        # Of what is deselected nobody asks.
        self.unreadable.clear()

    def why_not(self, collected: Mapping[str, Any]) -> str:
        """Why the suite could not be collected, in one sentence."""
        if not self.errors:
            return str(collected.get("message") or f"pytest ended with code {collected['exit']}")
        # Of an argument that names nothing pytest only says so, in two lines.
        told = [
            (file or "the suite", " ".join(self.reason_in(text).split()))
            for file, text in dict(self.errors).items()
        ]
        if len(told) == 1:
            return f"{told[0][0]} cannot be collected: {told[0][1]}"
        # The reason of the first ones, the name of every one.
        named = [f"{file}: {reason}" for file, reason in told[:REASONS_TOLD]]
        named += [file for file, _ in told[REASONS_TOLD:]]
        return f"{len(told)} files cannot be collected: {', '.join(named)}"

    @property
    def broken(self) -> dict[str, str]:
        """What pytest says of each file it cannot collect, each file once."""
        return {file or "collection": text for file, text in self.errors}

    @staticmethod
    def reason_in(text: str) -> str:
        """The sentence that matters of what pytest says of a file."""
        # pytest marks the lines that matter; the last of them is the exception itself.
        reasons = [line[1:].strip() for line in text.splitlines() if line.startswith("E ")]
        if not reasons:
            return text.strip()
        # Of a file that cannot even be parsed, where: pytest has it in a line before.
        places = [found for line in reasons[:-1] if (found := _PLACE.fullmatch(line))]
        where = f" (line {places[-1][1]})" if places and "line " not in reasons[-1] else ""
        return reasons[-1] + where

    def error(self, message: Mapping[str, Any]) -> None:
        self.errors.append((message["id"], message["text"]))

    def drop(self, case_id: str) -> Case | None:
        """The case is not there after all: deselected at the end, or a stale inventory named it."""
        case = self.cases.pop(case_id, None)
        if case is not None:
            self.ids_by_file[case.group].remove(case_id)
            self._wanted_count -= self.wants(case_id)
        return case

    def keep_only(self, ids: Iterable[str]) -> list[Case]:
        """Drop all others, which may be most of a large suite; returns those."""
        kept = set(ids)
        dropped = [case for case in self.cases.values() if case.id not in kept]
        for case in dropped:
            del self.cases[case.id]
            self._wanted_count -= self.wants(case.id)
        for file in {case.group for case in dropped}:
            self.ids_by_file[file] = [each for each in self.ids_by_file[file] if each in kept]
        return dropped

    def missing_from(self, file: str, found: list[str]) -> list[str]:
        """Ids we expected in a file that pytest no longer finds there."""
        there = set(found)
        return [case_id for case_id in self.ids_by_file.get(file, ()) if case_id not in there]

    def holds_more(self, file: str, found: list[str]) -> bool:
        """Whether pytest finds cases in a file that we have not heard of."""
        known = set(self.ids_by_file.get(file, ()))
        return any(case_id not in known for case_id in found)

    def wants(self, case_id: str) -> bool:
        """Whether the case is to run, if it is there."""
        return self.only is None or case_id in self.only

    def _keep(self, stated: Case) -> Case:
        case = self.learned(stated)
        if case is not stated:
            self.as_stated[case.id] = stated
        self._wanted_count += case.id not in self.cases and self.wants(case.id)
        self.cases[case.id] = case
        self.ids_by_file.setdefault(case.group, []).append(case.id)
        self._next_index = max(self._next_index, case.index + 1)
        return case
