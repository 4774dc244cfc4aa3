"""Runs one case at one commit as a Proctor campaign of its own, and says how long it took."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ...infra.errors import InfrastructureProblem
from ...infra.judge import ExitCode
from ...infra.ledgers.campaigns import campaigns_directory
from ...infra.ledgers.record import CampaignRecord, read_campaign
from ...infra.records import Attempt, Outcome
from .checkouts import Checkouts

Say = Callable[[str], None]

# Shorter than this a campaign cannot end by itself.
_LEAST_SECONDS = 5.0


class NotMeasured(InfrastructureProblem):
    """A run gave no result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One execution: it failed, or it took so long; neither if it could not be run there."""

    seconds: float | None = None
    failed: bool = False
    # Nobody finds such a case there.
    is_missing: bool = False

    @property
    def is_void(self) -> bool:
        return self.seconds is None and not self.failed


class Measure(Protocol):
    """Runs the case once at a commit."""

    def __call__(self, commit: str) -> Run: ...


@dataclass(slots=True, kw_only=True)
class CampaignMeasure:
    """Each run is a campaign in a worktree, with a state directory of its own."""

    trees: Checkouts
    case: str
    python: str
    # A time of time.monotonic().
    deadline: float
    number: int = field(default=0)

    def __call__(self, commit: str) -> Run:
        directory = self.trees.at(commit)
        if not (directory / self.case.partition("::")[0]).exists():
            return Run(is_missing=True)
        self.number += 1
        state = self.trees.scratch / f"state-{self.number}"
        told = campaign_of(
            [self.case], directory=directory, state=state, python=self.python,
            deadline=self.deadline, runs_before=self.number - 1, where=("-n", "1"),
        )  # fmt: skip
        return _run_of(told, self.case)


def campaign_of(
    cases: Sequence[str],
    *,
    directory: Path,
    state: Path,
    python: str,
    deadline: float,
    runs_before: int,
    where: Sequence[str],
) -> CampaignRecord:
    """Run cases as a campaign with a state directory of its own, and read what came of it."""
    left = deadline - time.monotonic()
    if left < _LEAST_SECONDS:
        raise NotMeasured(
            f"the time was up after {runs_before} runs", remedy="give it more with --timeout"
        )
    command = [
        sys.executable, "-m", "proctor", "run", *cases, "--directory", str(directory),
        "--state", str(state), "--prefect", "off", "--json", "--retries", "0",
        "--python", python, *where,
    ]  # fmt: skip
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=left, check=False,
            env=_environment(directory), cwd=directory,
        )  # fmt: skip
    except subprocess.TimeoutExpired as problem:
        raise NotMeasured(
            f"{cases[0]} did not end in time in {directory}", remedy="give it more with --timeout"
        ) from problem
    places = sorted(campaigns_directory(state).glob("*"))
    if not places or done.returncode in {3, 6, 8}:
        raise NotMeasured(
            f"the campaign of {cases[0]} failed ({done.returncode}): {done.stderr.strip()[-300:]}"
        )
    return read_campaign(places[-1])


def seconds_of(attempt: Attempt) -> float | None:
    """What an attempt took by itself, as the history counts it; None if it did not pass."""
    if attempt.outcome not in {Outcome.PASSED, Outcome.XFAILED, Outcome.XPASSED}:
        return None
    usage = attempt.usage
    return max(usage.wall_seconds - usage.shared_setup_seconds, 1e-9)


def _run_of(told: CampaignRecord, case: str) -> Run:
    attempts = told.attempts.get(case, [])
    if not attempts:
        # Not there at this commit, or its file does not import.
        return Run(is_missing=told.exit_code == ExitCode.USAGE)
    seconds = seconds_of(attempts[-1])
    if seconds is None:
        return Run(failed=attempts[-1].outcome.is_failure)
    return Run(seconds=seconds)


def _environment(directory: Path) -> dict[str, str]:
    """The worktree's own sources come first, also where the project is installed in place."""
    before = [str(directory), str(directory / "src"), os.environ.get("PYTHONPATH", "")]
    quiet = {"PROCTOR_HISTORY": "false", "PYTHONPATH": os.pathsep.join(filter(None, before))}
    return {**os.environ, **quiet}
