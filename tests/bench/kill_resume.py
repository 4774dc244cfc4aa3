"""Bar 6: kill -9 of the campaign's process at random moments, `proctor resume` each time.

    python tests/bench/kill_resume.py [--seed N] [--kills 10]

The cases themselves write down every execution, so that what was run is known from outside.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from contestants import PROCTOR, Proctor, Suite

from proctor.infra.judge import check_invariants, judge_record
from proctor.infra.ledgers.ledger import CampaignRecord, list_campaigns, read_campaign

CASES = 1_000
IN_FILE = 25
CASE_SECONDS = 0.04
MOST_WASTED = 0.02
DEADLINE_SECONDS = 300
CASE = """\
def test_{number:04}():
    write("{number:04}")
    burn({seconds})
"""
HEAD = """\
import os
import time

def write(text):
    log = os.open({log!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(log, text.encode() + b"\\n")
    os.close(log)

def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        sum(range(200))
"""


@dataclass(slots=True)
class Progress:
    """How many attempts the ledger files of a campaign hold so far; reads only what is new."""

    state: Path
    read: dict[Path, int] = field(default_factory=dict[Path, int])
    attempts: int = 0

    def look(self) -> int:
        for path in self.state.glob("campaigns/*/ledger-*.jsonl"):
            with path.open("rb") as file:
                file.seek(self.read.get(path, 0))
                data = file.read()
            whole = data.rfind(b"\n") + 1
            self.read[path] = self.read.get(path, 0) + whole
            self.attempts += data[:whole].count(b'"attempt"')
        return self.attempts


def make(directory: Path, log: Path) -> None:
    directory.mkdir(parents=True)
    (directory / "pytest.ini").write_text("[pytest]\n")
    for first in range(0, CASES, IN_FILE):
        cases = [
            CASE.format(number=number, seconds=CASE_SECONDS)
            for number in range(first, first + IN_FILE)
        ]
        (directory / f"test_file_{first:04}.py").write_text(
            "\n\n".join([HEAD.format(log=str(log)), *cases])
        )


def run_and_kill(
    command: Sequence[str], directory: Path, *, progress: Progress, attempts: int, delay: float
) -> int | None:
    """Kill it when the ledger holds so many attempts and the delay is over; None if killed."""
    with (directory.parent / "output.log").open("ab") as output:
        process = subprocess.Popen(
            command, cwd=directory, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    end = time.monotonic() + DEADLINE_SECONDS
    while progress.look() < attempts and process.poll() is None:
        if time.monotonic() > end:
            process.kill()
            raise SystemExit("the campaign hangs")
        time.sleep(0.02)
    try:
        return process.wait(delay)
    except subprocess.TimeoutExpired:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        return None


def told_so_far(record: CampaignRecord) -> dict[str, str]:
    """Attempts that count, with their outcomes."""
    return {
        attempt.id: str(attempt.outcome) for each in record.attempts.values() for attempt in each
    }


def problems(
    record: CampaignRecord, promised: Mapping[str, str], executions: Counter[str]
) -> list[str]:
    """Everything that is not as it must be."""
    verdicts = judge_record(record)
    now = told_so_far(record)
    found = [
        f"attempt {each} was {outcome} and is {now.get(each, 'gone')}"
        for each, outcome in promised.items()
        if now.get(each) != outcome
    ]
    if len(verdicts) != CASES:
        found.append(f"{len(verdicts)} verdicts on {CASES} cases")
    found += [
        f"{case} is {verdict.judgement}"
        for case, verdict in verdicts.items()
        if verdict.judgement != "passed"
    ]
    found += check_invariants(record)
    if len(executions) != CASES:
        found.append(f"{len(executions)} of {CASES} cases were ever executed")
    wasted = sum(executions.values()) - len(executions)
    if wasted > MOST_WASTED * CASES:
        found.append(f"{wasted} executions were wasted, more than {MOST_WASTED:.0%}")
    return found


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("-n", dest="slots", type=int, default=2)
    told = parser.parse_args(argv)
    random_ = random.Random(told.seed)
    with tempfile.TemporaryDirectory(prefix="proctor-kill-") as place:
        root = Path(place)
        log = root / "executions.log"
        make(root / "suite", log)
        proctor = Proctor(slots=told.slots, state=root / "state")
        progress = Progress(proctor.state)
        command = proctor.command(Suite(directory=root / "suite"))
        promised: dict[str, str] = {}
        # Half of the moments by how far the campaign is, the others soon after a start.
        wanted = sorted(random_.randrange(CASES * 9 // 10) for _ in range(told.kills))
        began = time.monotonic()
        for number, attempts in enumerate(wanted):
            early = number % 2 == 1
            code = run_and_kill(
                command,
                root / "suite",
                progress=progress,
                attempts=0 if early else attempts,
                delay=random_.uniform(0.3, 4.0) if early else random_.uniform(0, 0.3),
            )
            if code is not None:
                print(f"it ended by itself with {code} before kill {number + 1}")
                print((root / "output.log").read_text()[-2000:])
                return 1
            campaigns = list_campaigns(proctor.state)
            if not campaigns:
                continue
            record = read_campaign(campaigns[0].directory)
            promised |= told_so_far(record)
            print(
                f"kill {number + 1}: {len(promised)} attempts in {len(record.headers)} epochs, "
                f"{_executions(log).total()} executions"
            )
            command = [
                *PROCTOR,
                *("resume", record.directory.name, "--state", str(proctor.state)),
            ]
        code = subprocess.run(
            command, cwd=root / "suite", timeout=DEADLINE_SECONDS, capture_output=True, check=False
        )
        campaigns = list_campaigns(proctor.state)
        record = read_campaign(campaigns[0].directory)
        executions = _executions(log)
        found = problems(record, promised, executions)
        if code.returncode != 0:
            found.append(f"the last resume ended with {code.returncode}: {code.stderr[-2000:]!r}")
        if len(campaigns) != 1:
            found.append(f"there are {len(campaigns)} campaigns")
    wasted = executions.total() - len(executions)
    print(
        f"{CASES} cases, {told.kills} kills, {time.monotonic() - began:.0f} s: "
        f"{len(told_so_far(record))} attempts, {wasted} wasted executions ({wasted / CASES:.1%})"
    )
    for problem in found[:50]:
        print(f"  {problem}")
    print("holds" if not found else f"{len(found)} problems")
    return 1 if found else 0


def _executions(log: Path) -> Counter[str]:
    return Counter(log.read_text().split() if log.exists() else ())


if __name__ == "__main__":
    sys.exit(main())
