"""A campaign drains a worker that is sick, says so, and ends well without it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from proctor.infra.dispatching.batches import Rules, Slot
from proctor.infra.engine import rests
from proctor.infra.engine.campaign import Campaign
from proctor.infra.engine.collect import Collection
from proctor.infra.engine.fakes import FakeCluster, Script
from proctor.infra.engine.happenings import Left
from proctor.infra.engine.job import Job
from proctor.infra.engine.sickbay import sick_lives
from proctor.infra.engine.troubles import MOST_ROUNDS
from proctor.infra.errors import InfrastructureProblem, InterpreterProblem, NoSuchInterpreter
from proctor.infra.judge import check_invariants, judge_all, tally
from proctor.infra.ledgers.ledger import CampaignRecord, Ledger, read_campaign
from proctor.infra.records import Attempt, Case, Judgement, Requirements, WorkerFacts
from proctor.infra.runners.orders import Act, SlotOrder
from proctor.infra.runners.spec import RunnerSpec
from proctor.infra.timings import Timings

SUITE = tuple(f"test_{n}.py::test" for n in range(120))


class Notes:
    def __init__(self) -> None:
        self.texts: list[str] = []

    def phase(self, name: str) -> None: ...
    def cases(self, total: int, predicted_seconds: float) -> None: ...
    def running(self, case: Case, slot: Slot) -> None: ...
    def attempt(self, case: Case, attempt: Attempt) -> None: ...

    def note(self, text: str) -> None:
        self.texts.append(text)


class Sickness:
    """One campaign over scripted workers."""

    def __init__(self, directory: Path, script: Script, *, retries: int = 8, workers: int = 3):
        self.directory = directory / "c1"
        self.notes = Notes()
        self.needs = Requirements()
        self.cluster = FakeCluster([_worker(f"w{n + 1}") for n in range(workers)], script)
        self._ledger = Ledger.open(self.directory, campaign="c1")
        self._job = Job(
            campaign="c1",
            directory=self.directory,
            project=self.directory,
            runner=RunnerSpec(python="python"),
            rules=Rules(hedge=False, retries=retries),
            timings=Timings(),
            timeout_seconds=60,
        )

    def run(self) -> CampaignRecord:
        campaign = Campaign(
            self._job,
            ledger=self._ledger,
            cluster=self.cluster,  # type: ignore[arg-type]
            collection=Collection(needs_of=lambda case, marks: (self.needs, None)),
            watcher=self.notes,
        )
        campaign.search.collect()
        try:
            campaign.run()
            campaign.finish()
        finally:
            self._ledger.close()
        record = read_campaign(self.directory)
        assert check_invariants(record) == []
        return record

    def sent_to(self, worker: str) -> int:
        orders = (to for order, to in self.cluster.orders if order.act is Act.RUN)
        return sum(to == worker for to in orders)


def _worker(name: str) -> WorkerFacts:
    return WorkerFacts(
        name=name, incarnation=f"{name}-1", worker_class="cpu", slots=1, cpu=1, memory_bytes=1 << 30
    )


def counts(record: CampaignRecord) -> dict[Judgement, int]:
    return tally(judge_all(record.cases.values(), record.attempts).values())


def sick_events(record: CampaignRecord) -> list[tuple[str, str]]:
    return [(each.worker, each.reason) for each in record.workers if each.event == "sick"]


def test_a_worker_that_fails_everything_is_drained_and_told(tmp_path: Path) -> None:
    """The ledger, the notes and the file of the sick say so; no case is blamed in the end."""
    sickness = Sickness(tmp_path, Script(suite=SUITE, sick={"w2": "failed"}))
    record = sickness.run()
    ((worker, reason),) = sick_events(record)
    assert worker == "w2"
    assert "failed on it and passed elsewhere" in reason
    assert [text for text in sickness.notes.texts if "w2 is sick and drained" in text]
    assert set(counts(record)) <= {Judgement.PASSED, Judgement.FLAKY}
    assert sum(counts(record).values()) == len(SUITE)
    assert sick_lives([sickness.directory]) == {"w2-1": f"{reason} (campaign c1)"}


def test_cases_that_fail_everywhere_drain_nobody(tmp_path: Path) -> None:
    """They are the suite's own."""
    broken = dict.fromkeys(SUITE[::2], ("failed",))
    record = Sickness(tmp_path, Script(suite=SUITE, outcomes=broken), retries=2).run()
    assert sick_events(record) == []
    assert counts(record)[Judgement.FAILED] == len(SUITE) // 2
    assert sick_lives([tmp_path / "c1"]) == {}


def test_a_worker_whose_sessions_can_do_nothing_ends_no_campaign(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often it is asked: it is drained, and the others do its part."""
    monkeypatch.setattr(rests, "FIRST_SECONDS", 0.0)
    sickness = Sickness(tmp_path, Script(suite=SUITE, broken=["w3"]), retries=0)
    record = sickness.run()
    assert [worker for worker, _ in sick_events(record)] == ["w3"]
    assert counts(record) == {Judgement.PASSED: len(SUITE)}


@pytest.mark.parametrize("kind", ["NoSuchInterpreter", "BrokenConftest"])
def test_a_worker_whose_sessions_never_start_is_left_alone(tmp_path: Path, kind: str) -> None:
    """It may lack what others have: the campaign goes on, asks it seldom, and says so."""
    sickness = Sickness(tmp_path, Script(suite=SUITE, bare={"w1": kind}))
    record = sickness.run()
    assert counts(record) == {Judgement.PASSED: len(SUITE)}
    assert "no pytest; worker w1 is left alone for 1 s" in sickness.notes.texts
    assert sickness.sent_to("w1") == 0


def test_nobody_is_left_alone_when_all_fail(tmp_path: Path) -> None:
    """What no worker has is missing, and the campaign ends at once with the reason."""
    bare = dict.fromkeys(["w1", "w2", "w3"], "NoSuchInterpreter")
    with pytest.raises(NoSuchInterpreter, match="no pytest"):
        Sickness(tmp_path, Script(suite=SUITE, bare=bare)).run()


def test_a_worker_that_nobody_stands_in_for_is_asked_so_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that are well have nothing to do, however many they are: the campaign ends."""
    monkeypatch.setattr(rests, "FIRST_SECONDS", 0.0)
    sickness = Sickness(tmp_path, Script(suite=SUITE, bare={"w1": "InterpreterProblem"}))
    sickness.needs = Requirements(gpu=1.0)
    gpu = replace(_worker("w1"), gpu=1.0)
    sickness.cluster = FakeCluster(
        [gpu, *(_worker(f"w{n}") for n in range(2, 12))], sickness.cluster.script
    )
    with pytest.raises(InterpreterProblem, match="no pytest"):
        sickness.run()
    assert sickness.sent_to("w1") <= MOST_ROUNDS


def test_what_one_worker_lacks_its_machine_lacks(tmp_path: Path) -> None:
    """The others there are not waited for: nothing had run yet."""
    sickness = Sickness(tmp_path, Script(suite=SUITE, bare={"w1": "NoSuchInterpreter"}))
    sickness.cluster = FakeCluster(
        [replace(_worker(f"w{n}"), machine="m1", host="h1") for n in (1, 2, 3)],
        sickness.cluster.script,
    )
    with pytest.raises(NoSuchInterpreter, match="no pytest"):
        sickness.run()


def test_sessions_that_can_do_nothing_anywhere_end_it(tmp_path: Path) -> None:
    """Nobody is sick; something is missing everywhere, and that is said."""
    sickness = Sickness(tmp_path, Script(suite=SUITE, broken=["w1", "w2", "w3"]))
    with pytest.raises(InfrastructureProblem, match="no room"):
        sickness.run()
    assert not (sickness.directory / "sick.json").exists()


def test_the_last_worker_is_used_however_sick_it_is(tmp_path: Path) -> None:
    """There is no other: the cases are told as they are, and nothing waits."""
    sickness = Sickness(tmp_path, Script(suite=SUITE, sick={"w1": "failed"}), workers=1, retries=0)
    record = sickness.run()
    assert sick_events(record) == []
    assert counts(record) == {Judgement.FAILED: len(SUITE)}


def test_a_sick_worker_is_used_again_when_the_others_are_gone(tmp_path: Path) -> None:
    """Better than to wait for workers that may never come; then nobody is called sick."""
    sickness = Sickness(tmp_path, Script(suite=SUITE, sick={"w1": "failed"}), workers=2, retries=8)
    send = sickness.cluster.send

    def send_or_leave(order: SlotOrder, worker: str) -> None:
        if worker == "w2" and (sickness.directory / "sick.json").exists():
            left = Left(worker="w2", incarnation="w2-1", reason="it is gone")
            sickness.cluster.happenings.put(left)
            sickness.cluster.script.sick = {}
            return
        send(order, worker)

    sickness.cluster.send = send_or_leave  # type: ignore[method-assign]
    record = sickness.run()
    assert [worker for worker, _ in sick_events(record)][:1] == ["w1"]
    assert any("the last: used again" in text for text in sickness.notes.texts)
    assert json.loads((sickness.directory / "sick.json").read_text()) == {}
    assert sum(counts(record).values()) == len(SUITE)
