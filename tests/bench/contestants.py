"""The commands that are compared: plain pytest, pytest-xdist in its modes, and Proctor."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from measured import Measurement, run_measured

from proctor.infra.judge import judge_record
from proctor.infra.ledgers.ledger import CampaignRecord, list_campaigns, read_campaign

RECORDER = Path(__file__).with_name("recorder")
# Of ours, whatever directory it is called from.
PROCTOR = (sys.executable, "-m", "proctor")
XDIST_MODES = ("load", "worksteal", "loadfile")


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """What is run: a directory, what pytest is told there, and by which interpreter."""

    directory: Path
    python: str = sys.executable
    arguments: tuple[str, ...] = ()
    name: str = ""

    @property
    def title(self) -> str:
        return self.name or self.directory.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    """What plain pytest found."""

    outcomes: Mapping[str, str]
    seconds: Mapping[str, float]
    exit_code: int
    measurement: Measurement

    def bound(self, slots: int) -> float:
        """No schedule of these cases can be shorter."""
        each = self.seconds.values()
        return max(sum(each) / slots, max(each, default=0.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ours:
    """What Proctor found, from its ledger."""

    outcomes: Mapping[str, str]
    record: CampaignRecord
    measurement: Measurement

    @property
    def first_case_seconds(self) -> float:
        """From Enter to the start of the first case."""
        started = [a.started for each in self.record.attempts.values() for a in each if a.worker]
        return min(started, default=float("nan")) - self.measurement.began

    @property
    def ratio(self) -> float:
        """Makespan over lower bound, as the command tells it."""
        close = self.record.close
        return close.makespan / close.lower_bound if close and close.lower_bound else float("nan")


@dataclass(slots=True, kw_only=True)
class Proctor:
    """How Proctor is called."""

    slots: int = 2
    state: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="proctor-bench-")))
    fleet: str = ""
    prefect: str = "off"
    options: Sequence[str] = ()

    def command(self, suite: Suite) -> list[str]:
        fleet = ["--fleet", self.fleet] if self.fleet else ["-n", str(self.slots)]
        return [
            *PROCTOR,
            "run",
            *("--directory", str(suite.directory)),
            *("--python", suite.python),
            *("--state", str(self.state)),
            *("--prefect", self.prefect),
            *fleet,
            *self.options,
            "--",
            *suite.arguments,
        ]

    def run(self, suite: Suite, deadline_seconds: float = 1800.0) -> Ours:
        measurement = run_measured(
            self.command(suite),
            directory=suite.directory,
            deadline_seconds=deadline_seconds,
        )
        campaigns = list_campaigns(self.state)
        if not campaigns:
            raise SystemExit(f"proctor wrote no ledger:\n{measurement.output[-3000:]}")
        record = read_campaign(campaigns[0].directory)
        verdicts = judge_record(record)
        return Ours(
            outcomes={case: str(verdict.judgement) for case, verdict in verdicts.items()},
            record=record,
            measurement=measurement,
        )


def plain_command(suite: Suite, *extra: str) -> list[str]:
    return [suite.python, "-m", "pytest", "-q", *extra, *suite.arguments]


def run_plain(suite: Suite, deadline_seconds: float = 1800.0) -> Plain:
    """Plain pytest with the recorder."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "record.json"
        measurement = run_measured(
            plain_command(suite, "-p", "bench_recorder"),
            directory=suite.directory,
            environment={"BENCH_RECORD": str(path), "PYTHONPATH": str(RECORDER)},
            deadline_seconds=deadline_seconds,
        )
        if not path.exists():
            raise SystemExit(f"plain pytest failed:\n{measurement.output[-3000:]}")
        told = json.loads(path.read_text())
    return Plain(
        outcomes=told["outcomes"],
        seconds=told["seconds"],
        exit_code=told["exit_code"],
        measurement=measurement,
    )


def run_pytest(suite: Suite, *extra: str, deadline_seconds: float = 1800.0) -> Measurement:
    """Pytest as people call it, nothing of ours in it."""
    return run_measured(
        plain_command(suite, *extra),
        directory=suite.directory,
        deadline_seconds=deadline_seconds,
    )
