"""Gives each mutant of the engine all plays, and asks the invariants what they think of it."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from mutants import Mutant
from virtual_campaigns import perform
from virtual_plays import Play, without_faults

from proctor.infra.faults.verdict import Validity
from proctor.monitoring.invariants import Limits, examine_campaign


@dataclass(slots=True)
class Tried:
    """What became of one mutant."""

    mutant: Mutant
    # By invariant: the first reason, and the play it was found in.
    invalid: dict[str, str] = field(default_factory=dict[str, str])
    unknown: dict[str, str] = field(default_factory=dict[str, str])
    # What the engine itself raised, by play.
    raised: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def verdict(self) -> Validity:
        if self.invalid:
            return Validity.INVALID
        return Validity.UNKNOWN if self.unknown else Validity.VALID


def calm_campaigns(plays: Iterable[Play], state: Path) -> dict[str, Path]:
    """What each play comes to on a day without faults, by the engine as it is."""
    return {play.name: perform(without_faults(play), state) for play in plays if not play.lossy}


def attempt_mutant(
    mutant: Mutant | None, plays: Sequence[Play], calm: dict[str, Path], *, enough: int = 99
) -> Tried:
    """Run all plays with the bug in, or until so many invariants have found it."""
    tried = Tried(mutant or Mutant("the engine as it is", "none", ()))
    logging.disable(logging.WARNING)
    try:
        for play in plays:
            with tempfile.TemporaryDirectory(prefix="mutant-") as state, ExitStack() as stack:
                try:
                    with stack:
                        if mutant is not None:
                            stack.enter_context(mutant.applied())
                        perform(play, Path(state))
                except Exception as problem:
                    tried.raised[play.name] = f"{type(problem).__name__}: {problem}"
                _examine(tried, play, Path(state), calm.get(play.name))
            if len(tried.invalid) >= enough:
                break
    finally:
        logging.disable(logging.NOTSET)
    return tried


def _examine(tried: Tried, play: Play, state: Path, calm: Path | None) -> None:
    directory = state / "campaigns" / play.name
    examination = examine_campaign(
        directory, against=calm, recorders=state / "recorders", limits=Limits(wait=15.0)
    )
    for held in examination.held:
        if held.validity is not Validity.VALID:
            found = tried.invalid if held.validity is Validity.INVALID else tried.unknown
            found.setdefault(held.invariant, f"{play.name}: {held.offences[0].reason}")
