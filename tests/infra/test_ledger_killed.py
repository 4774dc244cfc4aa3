"""A real writer, killed at random moments: what it had acknowledged is there."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

from proctor.infra.judge import check_invariants, judge_all
from proctor.infra.ledgers.ledger import read_campaign, read_output
from proctor.infra.records import Outcome

ROUNDS = 6
# Appends attempts with texts of all sizes, and says which are committed.
WRITER = """
import random, sys
from pathlib import Path
from proctor.infra.ledgers.ledger import Ledger, read_campaign
from proctor.infra.records import Attempt, Case, Outcome

directory, seed = Path(sys.argv[1]), int(sys.argv[2])
chance = random.Random(seed)
ledger = Ledger.open(directory, campaign="c")
known = read_campaign(directory)
number = len(known.cases)
while True:
    batch = []
    for _ in range(chance.randrange(1, 40)):
        case = Case(id=f"t.py::test_{number}", group="t.py", index=number)
        ledger.case(case)
        text = [("stdout", f"{number} " + "x" * chance.randrange(3000))]
        ledger.attempt(
            Attempt(
                case=case.id,
                id=f"{ledger.epoch}.b.{case.id}",
                outcome=Outcome.PASSED,
                started=0.0,
                finished=1.0,
                epoch=ledger.epoch,
            ),
            text,
        )
        batch.append(str(number))
        number += 1
    ledger.commit()
    print(*batch, flush=True)
"""


def test_no_acknowledged_line_is_lost_to_kill_9(tmp_path: Path):
    """Six writers, each killed and succeeded at once; readers look on and never fail."""
    directory = tmp_path / "c"
    chance = random.Random(20)
    acknowledged: set[int] = set()
    for seed in range(ROUNDS):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(directory), str(seed)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert writer.stdout is not None
        with writer:
            for _ in range(chance.randrange(1, 12)):
                acknowledged.update(map(int, writer.stdout.readline().split()))
                if chance.random() < 0.2:
                    assert read_campaign(directory).problems == []
            writer.kill()
            # What it said before it died counts; a torn last line does not.
            for line in writer.stdout:
                if line.endswith("\n"):
                    acknowledged.update(map(int, line.split()))
        record = read_campaign(directory)
        assert record.problems == []
        assert record.header.epoch == seed + 1
        assert record.state == "interrupted"
        found = [int(each.rpartition("_")[2]) for each in record.attempts]
        assert acknowledged <= set(found)
        assert check_invariants(record) == []
    verdicts = judge_all(record.cases.values(), record.attempts)
    assert len(record.attempts) == len(found) == len(set(found))
    for case, attempts in record.attempts.items():
        assert [each.outcome for each in attempts] == [Outcome.PASSED]
        assert attempts[0].output is not None
        ((section, text),) = read_output(directory, attempts[0].output)
        assert (section, text.split()[0]) == ("stdout", case.rpartition("_")[2])
        assert verdicts[case].attempts == 1
