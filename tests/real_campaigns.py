"""Writes small suites and conducts real campaigns over them, in this process or by the command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from proctor.flows.campaigns.conduct import Conducted, Unwatched, conduct, prepare
from proctor.flows.campaigns.request import RunRequest
from proctor.infra.dispatching.batches import Slot
from proctor.infra.engine.watcher import Watcher
from proctor.infra.judge import check_invariants, judge_record
from proctor.infra.ledgers.ledger import CampaignRecord, list_campaigns, read_campaign
from proctor.infra.records import Attempt, Case

# Long enough for a machine with many other things to do; only what hangs comes near.
PATIENCE_SECONDS = 240.0
# Test files write down each execution, so that what ran is known from outside.
LOGGING = """\
import os
import time

def ran(name):
    log = os.open(os.environ.get("EXECUTIONS", {log!r}), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(log, name.encode() + b"\\n")
    os.close(log)

def wait_for(name, there=True):
    # Until the file is in the project, or is not.
    file = os.path.join(os.path.dirname(__file__), name)
    end = time.monotonic() + {patience}
    while os.path.exists(file) is not there:
        assert time.monotonic() < end, f"nobody has made or removed {{name}}"
        time.sleep(0.02)
"""


def write_project(folder: Path, files: Mapping[str, str]) -> Path:
    """A project of its own: pytest's and Proctor's search for a root ends there."""
    folder.mkdir(parents=True, exist_ok=True)
    given = {"pyproject.toml": "[project]\nname = 'orchard'\n[tool.pytest.ini_options]\n", **files}
    given["executions.py"] = LOGGING.format(
        log=str(folder.parent / "executions.log"), patience=PATIENCE_SECONDS
    )
    given.setdefault("conftest.py", "")
    for name, text in given.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return folder


class AtStart(Unwatched):
    """Does something when a case is first seen running."""

    def __init__(self, case: str, act: Callable[[Slot], object]) -> None:
        self._case, self._act = case, act
        self.seen = False

    def running(self, case: Case, slot: Slot) -> None:
        if case.id == self._case and not self.seen:
            self.seen = True
            self._act(slot)


class WhenAllAreBusy(Unwatched):
    """Does something at the moment in which so many slots run a case."""

    def __init__(self, slots: int, act: Callable[[], object]) -> None:
        self._slots, self._act = slots, act
        self._busy: set[tuple[str, int]] = set()
        self.seen = False

    def running(self, case: Case, slot: Slot) -> None:
        self._busy.add((slot.worker, slot.number))
        if len(self._busy) == self._slots and not self.seen:
            self.seen = True
            self._act()

    def attempt(self, case: Case, attempt: Attempt) -> None:
        self._busy.discard((attempt.worker, attempt.slot))


def executions(folder: Path) -> Counter[str]:
    """How often each test called `ran`."""
    log = folder.parent / "executions.log"
    return Counter(log.read_text().split() if log.exists() else ())


def request_of(folder: Path, state: Path, *paths: str, fleet: str = "", **more: Any) -> RunRequest:
    """A request; what is no field of one is a setting."""
    fields = {
        name: more.pop(name) for name in list(more) if name in RunRequest.__dataclass_fields__
    }
    flags: dict[str, object] = {"state": str(state), "prefect": "off", **more}
    if fleet:
        flags["fleet"] = fleet
    return RunRequest(paths=paths, directory=str(folder), flags=flags, **fields)


def run(
    folder: Path, state: Path, *paths: str, watcher: Watcher | None = None, **more: Any
) -> Conducted:
    """Conduct a campaign in this process; the ledger must hold no contradiction."""
    conducted = conduct(prepare(request_of(folder, state, *paths, **more)), watcher)
    assert conducted.record is not None
    assert check_invariants(conducted.record) == []
    return conducted


def judgements(conducted: Conducted | CampaignRecord | None) -> dict[str, str]:
    """The verdict of each case."""
    record = conducted.record if isinstance(conducted, Conducted) else conducted
    assert record is not None
    verdicts = judge_record(record)
    return {case: str(verdict.judgement) for case, verdict in verdicts.items()}


def attempts_of(conducted: Conducted | CampaignRecord, case: str) -> list[str]:
    """The outcomes of a case, in order."""
    record = conducted.record if isinstance(conducted, Conducted) else conducted
    assert record is not None
    return [str(attempt.outcome) for attempt in record.attempts.get(case, ())]


def moved(record: CampaignRecord) -> set[str]:
    """Cases that were taken back from a slot: if the word came late, that one ran them too."""
    names = {case.index: case.id for case in record.cases.values()}
    return {names[index] for each in record.moves for index in each.cases}


def only_campaign(state: Path) -> CampaignRecord:
    (summary,) = list_campaigns(state)
    return read_campaign(summary.directory)


# The command as a person types it ----------------------------------------------------------------


def environment(**more: str) -> dict[str, str]:
    """Ours without what a person may have set for their own campaigns."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PROCTOR_", "PREFECT_", "PYTEST_"))
    }
    # A terminal of known width, and no colours in what is compared.
    return {**kept, "COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb", **more}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "proctor", *arguments]


def type_in(
    *arguments: str, cwd: Path, timeout: float = PATIENCE_SECONDS, **more: str
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        command(*arguments),
        cwd=cwd,
        env=environment(**more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def begin(
    arguments: Sequence[str], *, cwd: Path, log: Path, **more: str
) -> subprocess.Popen[bytes]:
    """Start the command and go on; the caller ends it."""
    with log.open("ab") as output:
        return subprocess.Popen(
            command(*arguments),
            cwd=cwd,
            env=environment(**more),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )


def document(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """What --json printed: one document and nothing else."""
    told = json.loads(done.stdout)
    assert isinstance(told, dict)
    return told
