"""Whole campaigns on a virtual clock: the real dispatcher, ledger and recovery, scripted workers.

Workers keep outboxes, die, freeze and thaw, and the campaign's process dies and is resumed by
another one. A campaign of a minute takes some milliseconds, and the same script always gives the
same journal but for process ids.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from virtual_fleets import Dies, VirtualFleet
from virtual_plays import BEGAN, Play, VirtualClock

from proctor.infra import judge as judging
from proctor.infra.dispatching.batches import Slot
from proctor.infra.engine import attempts, cancelling, executions, waits
from proctor.infra.engine import campaign as campaigns
from proctor.infra.engine import recovery as recovering
from proctor.infra.engine.campaign import Campaign
from proctor.infra.engine.collect import Collection
from proctor.infra.engine.job import Job
from proctor.infra.errors import ProctorError
from proctor.infra.ledgers import record as reading
from proctor.infra.ledgers.ledger import Ledger
from proctor.infra.records import Attempt, Case
from proctor.infra.runners.spec import RunnerSpec
from proctor.infra.timings import Timings

FOREVER = 1e12
# Until somebody resumes what has ended.
PAUSE_SECONDS = 60.0


class _Unwatched:
    def phase(self, name: str) -> None: ...
    def cases(self, total: int, predicted_seconds: float) -> None: ...
    def running(self, case: Case, slot: Slot) -> None: ...
    def attempt(self, case: Case, attempt: Attempt) -> None: ...
    def note(self, text: str) -> None: ...


@contextmanager
def _virtual_time(clock: VirtualClock) -> Iterator[None]:
    tellers: tuple[Any, ...] = (attempts, campaigns, cancelling, executions, waits)
    real = campaigns.time
    for each in tellers:
        each.time = clock
    try:
        yield
    finally:
        for each in tellers:
            each.time = real


def perform(play: Play, state: Path) -> Path:
    """Run a play to its last end, through all deaths of its process; the campaign's directory."""
    clock = VirtualClock()
    directory = state / "campaigns" / play.name
    fleet = VirtualFleet(play, clock, state / "scratch")
    dead: Path | None = None
    ends = 2 if play.again else 1
    resumed = False
    _write_faults(play, state)
    with _virtual_time(clock):
        while ends:
            ledger = _open(play, directory, clock)
            if dead is not None and play.zombie:
                _write_on(dead, play, clock)
            try:
                _conduct(play, ledger, fleet, clock, resumed=resumed)
            except Dies:
                dead = directory / f"ledger-{ledger.epoch:06d}.jsonl"
                ledger.abandon()
                clock.now += 5.0
            except ProctorError as problem:
                # As flows/conduct.py does it.
                ledger.write("note", level="error", text=str(problem))
                _close(ledger, clock, state="failed")
                raise
            except BaseException:
                ledger.abandon()
                raise
            else:
                ends -= 1
                clock.now += PAUSE_SECONDS
            resumed = True
    return directory


def go_on(play: Play, state: Path, *, after: float = PAUSE_SECONDS) -> Path:
    """Resume a performed campaign so many seconds later, on the fleet of `play`."""
    clock = VirtualClock()
    clock.now += after
    directory = state / "campaigns" / play.name
    fleet = VirtualFleet(play, clock, state / "scratch")
    with _virtual_time(clock):
        _conduct(play, _open(play, directory, clock), fleet, clock, resumed=True)
    return directory


def _open(play: Play, directory: Path, clock: VirtualClock) -> Ledger:
    ledger = Ledger.open(
        directory,
        campaign=play.name,
        settings={
            "rules": {
                "retries": play.rules.retries,
                "infra_retries": play.rules.infra_retries,
                "maxfail": play.rules.maxfail,
            }
        },
        clock=clock.time,
        ttl=FOREVER,
    )
    # Commits come by the virtual clock, too: what is not committed dies with its process.
    ledger._journal._monotonic = clock.monotonic
    ledger._journal._committed_at = clock.monotonic()
    return ledger


def _write_faults(play: Play, state: Path) -> None:
    """What an injector would have recorded."""
    told = [(at, "kill", worker, 0.0) for at, worker in play.kills]
    told += [(at, "freeze", worker, length) for at, worker, length in play.freezes]
    recorders = state / "recorders" / play.name
    recorders.mkdir(parents=True, exist_ok=True)
    lines = [
        {
            "k": "fault",
            "t": BEGAN + at,
            "id": f"f{at}",
            "fault": kind,
            "target": f"worker:{worker}",
            "event": "injected",
            "until": BEGAN + at + length,
        }
        for at, kind, worker, length in told
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (recorders / "faults.jsonl").write_text(text)


def _write_on(journal: Path, play: Play, clock: VirtualClock) -> None:
    """A writer that was only asleep says that a case has passed, which never ran."""
    epoch = int(journal.stem.partition("-")[2])
    case = play.cases[-1]
    line = (
        f'{{"k":"attempt","t":{clock.now + 2},"case":"{case.id}",'
        f'"id":"{epoch}.b900.{case.id}","outcome":"passed","started":{clock.now},'
        f'"finished":{clock.now + 1},"worker":"{play.workers[0].name}",'
        f'"incarnation":"{play.workers[0].incarnation}","batch":"b900","epoch":{epoch}}}\n'
    )
    with journal.open("ab") as file:
        file.write(line.encode())


def _conduct(
    play: Play, ledger: Ledger, fleet: VirtualFleet, clock: VirtualClock, *, resumed: bool
) -> None:
    timings = Timings()
    collection = Collection(needs_of=lambda case, marks: (play.cases[0].needs, None))
    job = Job(
        campaign=play.name,
        directory=ledger.directory,
        project=ledger.directory,
        runner=RunnerSpec(python="python"),
        rules=play.rules,
        timings=timings,
        timeout_seconds=60,
        expected=tuple(play.workers),
        is_muted=lambda case: case in play.muted,
    )
    fleet.attach()
    campaign = Campaign(
        job,
        ledger=ledger,
        cluster=fleet,  # type: ignore[arg-type]
        collection=collection,
        watcher=_Unwatched(),
    )
    if play.known:
        for case in play.cases:
            campaign._dispatcher.durations.learn(case, play.seconds.get(case.id, 0.1))
    if resumed:
        record = reading.read_campaign(ledger.directory, clock=clock.time)
        collection.restore(list(record.cases.values()))
        past = recovering.recover(
            record,
            ledger=ledger,
            cluster=fleet,  # type: ignore[arg-type]
            scratch=fleet._scratch,
            excuses=campaign.excuses,
        )
        campaign.add_known(list(record.cases.values()), past)
    else:
        collection.restore(list(play.cases))
        for case in play.cases:
            ledger.case(case)
            campaign.search.mute(case)
        ledger.write("phase", phase="run")
        campaign.add_known(list(play.cases), {})
    campaign.run()
    campaign.finish()
    _close(ledger, clock)


def _close(ledger: Ledger, clock: VirtualClock, *, state: str = "completed") -> None:
    """As flows/closing.py does it."""
    ledger.write("phase", phase="judge")
    ledger.commit()
    record = reading.read_campaign(ledger.directory, clock=clock.time)
    verdicts = judging.judge_record(record)
    counts = judging.tally(verdicts.values())
    ledger.write(
        "close",
        state=state,
        exit_code=int(judging.exit_code(counts)) if state == "completed" else 6,
        counts={str(kind): number for kind, number in counts.items()},
        makespan=1.0,
        lower_bound=1.0,
        slots=1,
    )
    ledger.close()
