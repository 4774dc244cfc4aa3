"""Bar 1: seeded schedules of faults on real processes under load; resumable, in parts.

    python tests/bench/chaos.py [--seeds 1-200] [--results chaos.jsonl] [--minutes 20] [--keep DIR]

Each seed gives one to four faults of kinds, targets, moments and lengths of its own. They hit one
resident fleet while a campaign of 90 cases runs on it; each case writes down that it ran. A seed
holds if the campaign ends by itself with each case passed and counted once, if nobody is blamed,
and if no more was executed twice than was under way when something was cut off.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from faulty_fleets import FaultyFleet, faulty_fleet
from real_campaigns import executions, write_project

from proctor.flows.experiment import record_findings
from proctor.infra.faults.experiment import STRICT, Experiment
from proctor.infra.faults.run import ExperimentRun
from proctor.infra.faults.schedule import Stage, seeded
from proctor.infra.faults.verdict import Limits, Validity, overall
from proctor.infra.ledgers.record import read_campaign

STAGE = Stage()
WORKERS = STAGE.workers
CASES = STAGE.cases
# How soon what is noticed is measured by detection.py, on a machine that does nothing else.
LIMITS = Limits(dead=60.0, frozen=60.0, recovery=60.0)
# What each fault may cut off: its worker's slot, or those of all.
CUTS = {"scheduler": WORKERS, "supervisor": WORKERS, "campaign": WORKERS}


def schedule(seed: int, project: Path) -> Experiment:
    """The faults of a seed."""
    schedule = seeded(seed, stage=STAGE)
    return schedule.experiment(project, arguments=["--prefect", "off"], invariants=STRICT)


def suite(folder: Path) -> Path:
    """Cases that write down that they ran."""
    text = f"""\
        import time
        import pytest
        from executions import ran

        @pytest.mark.parametrize("n", range({STAGE.cases_in_file}))
        def test_case(n):
            time.sleep({STAGE.case_seconds})
            ran(f"{{__name__}}.{{n}}")
        """
    return write_project(folder, {f"test_{number}.py": text for number in range(STAGE.files)})


def attempt_seed(seed: int, fleet: FaultyFleet, folder: Path) -> dict[str, object]:
    """Run one schedule and say what came of it."""
    project = suite(folder / "p")
    experiment = schedule(seed, project)
    began = time.monotonic()
    journal = ExperimentRun(experiment, state=fleet.state, targets=fleet.targets).run()
    if journal.status == "interrupted":
        raise KeyboardInterrupt
    ran = executions(project)
    found = [
        *journal.findings,
        *record_findings(fleet.state, journal.campaigns, limits=LIMITS),
    ]
    problems = [reason for finding in found for reason in finding.reasons]
    problems += [
        f"{getattr(each.step, 'name', '')}: {each.problem}"
        for each in journal.run
        # Its turn came when the campaign was over.
        if each.problem and not each.problem.startswith("there is no")
    ]
    if journal.status != "completed":
        problems.append(f"it was {journal.status}")
    if overall(found) is not Validity.VALID and not problems:
        problems.append(f"it is {overall(found)}")
    if len(ran) != CASES:
        problems.append(f"{len(ran)} of {CASES} cases were ever executed")
    cuts = sum(CUTS.get(str(each["target"]).partition(":")[0], 1) for each in journal.faults)
    largest = max((_largest(fleet.state, each) for each in journal.campaigns), default=0)
    moved = sum(_moved(fleet.state, each) for each in journal.campaigns)
    wasted = ran.total() - len(ran)
    # Bar 5: at most the batches in flight at each cut.
    most = cuts * largest + moved
    if wasted > most:
        problems.append(f"{wasted} executions were wasted, {most} may be")
    return {
        "seed": seed,
        "seconds": round(time.monotonic() - began, 1),
        "faults": [
            f"{each['fault']} {each['target']} @{each['commits']}" for each in journal.faults
        ],
        "wasted": wasted,
        "counts": dict(Counter(each for each in _judgements(fleet.state, journal.campaigns))),
        "problems": problems,
    }


def _judgements(state: Path, campaigns: Sequence[str]) -> list[str]:
    from real_campaigns import judgements

    return [
        each
        for campaign in campaigns
        for each in judgements(read_campaign(state / "campaigns" / campaign)).values()
    ]


def _largest(state: Path, campaign: str) -> int:
    record = read_campaign(state / "campaigns" / campaign)
    return max((len(batch.cases) for batch in record.batches), default=0)


def _moved(state: Path, campaign: str) -> int:
    """Cases whose execution was repeated on purpose: moved from a slow slot to an idle one."""
    record = read_campaign(state / "campaigns" / campaign)
    return sum(
        len([each for each in attempts if each.outcome.is_result]) > 1
        for attempts in record.attempts.values()
    )


def _seeds(text: str) -> list[int]:
    first, _, last = text.partition("-")
    return list(range(int(first), int(last or first) + 1))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=_seeds, default=_seeds("1-200"))
    parser.add_argument("--results", type=Path, help="done seeds stand here and are not done again")
    parser.add_argument("--minutes", type=float, default=600.0)
    parser.add_argument("--keep", type=Path, help="where to work, and to leave what was found")
    told = parser.parse_args(argv)
    done: dict[int, dict[str, object]] = {}
    if told.results and told.results.exists():
        lines = map(json.loads, told.results.read_text().splitlines())
        done = {line["seed"]: line for line in lines}
    ends = time.monotonic() + told.minutes * 60
    with tempfile.TemporaryDirectory(
        prefix="proctor-chaos-", ignore_cleanup_errors=True
    ) as temporary:
        root = told.keep or Path(temporary)
        root.mkdir(parents=True, exist_ok=True)
        state = root / "state"
        with faulty_fleet(state, "--cpu", str(WORKERS)) as fleet:
            for seed in told.seeds:
                if seed in done or time.monotonic() > ends:
                    continue
                fleet.await_workers(WORKERS)
                found = attempt_seed(seed, fleet, root / f"seed-{seed}")
                done[seed] = found
                print(json.dumps(found), flush=True)
                if told.results:
                    with told.results.open("a") as file:
                        file.write(json.dumps(found) + "\n")
    failed = [seed for seed in told.seeds if seed in done and done[seed]["problems"]]
    there = [seed for seed in told.seeds if seed in done]
    print(
        f"{len(there)} of {len(told.seeds)} schedules run, {len(there) - len(failed)} hold"
        + (f"; these do not: {failed}" if failed else "")
    )
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
