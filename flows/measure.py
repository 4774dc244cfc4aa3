"""Runs one case at one commit as a Proctor campaign of its own, and says how long it took."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ..infra.campaigns import campaigns_directory
from ..infra.errors import InfrastructureProblem
from ..infra.ledger_record import read_campaign
from ..infra.records import Outcome
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
        self.number += 1
        state = self.trees.scratch / f"state-{self.number}"
        left = self.deadline - time.monotonic()
        if left < _LEAST_SECONDS:
            raise NotMeasured(
                f"the time was up after {self.number - 1} runs",
                remedy="give it more with --timeout",
            )
        command = [
            sys.executable, "-m", "proctor", "run", self.case, "--directory", str(directory),
            "--state", str(state), "--prefect", "off", "--json", "-n", "1", "--retries", "0",
            "--python", self.python,
        ]  # fmt: skip
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=left, check=False,
                env=_environment(directory), cwd=directory,
            )  # fmt: skip
        except subprocess.TimeoutExpired as problem:
            raise NotMeasured(
                f"{self.case} did not end in time at {commit[:12]}",
                remedy="give it more with --timeout",
            ) from problem
        return _run_of(state, self.case, done.returncode, done.stderr)


def _run_of(state: Path, case: str, code: int, told: str) -> Run:
    places = sorted(campaigns_directory(state).glob("*"))
    if not places or code in {3, 6, 8}:
        raise NotMeasured(f"the campaign of {case} failed ({code}): {told.strip()[-300:]}")
    attempts = read_campaign(places[-1]).attempts.get(case, [])
    if not attempts:
        # Not there at this commit, or its file does not import.
        return Run()
    attempt = attempts[-1]
    if attempt.outcome in {Outcome.PASSED, Outcome.XFAILED, Outcome.XPASSED}:
        usage = attempt.usage
        return Run(seconds=max(usage.wall_seconds - usage.shared_setup_seconds, 1e-9))
    return Run(failed=attempt.outcome.is_failure)


def _environment(directory: Path) -> dict[str, str]:
    """The worktree's own sources come first, also where the project is installed in place."""
    before = [str(directory), str(directory / "src"), os.environ.get("PYTHONPATH", "")]
    quiet = {"PROCTOR_HISTORY": "false", "PYTHONPATH": os.pathsep.join(filter(None, before))}
    return {**os.environ, **quiet}
