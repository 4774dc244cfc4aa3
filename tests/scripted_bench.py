"""A ledger, a scripted cluster and a campaign between them."""

from __future__ import annotations

from pathlib import Path

from proctor.infra.dispatching.batches import Rules, Slot
from proctor.infra.engine.campaign import Campaign
from proctor.infra.engine.collect import Collection
from proctor.infra.engine.fakes import FakeCluster, Script
from proctor.infra.engine.job import Job
from proctor.infra.judge import check_invariants, judge_record
from proctor.infra.ledgers.ledger import CampaignRecord, Ledger, read_campaign
from proctor.infra.records import Attempt, Case, Requirements, WorkerFacts
from proctor.infra.runners.spec import RunnerSpec
from proctor.infra.timings import Timings

SUITE = tuple(f"test_{letter}.py::test_{n}" for letter in "ab" for n in range(4))
FIRST = SUITE[0]


class Seen:
    """What a watcher was told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.phases: list[str] = []
        self.attempts: list[Attempt] = []
        self.totals: list[int] = []

    def phase(self, name: str) -> None:
        self.phases.append(name)

    def cases(self, total: int, predicted_seconds: float) -> None:
        self.totals.append(total)

    def running(self, case: Case, slot: Slot) -> None: ...

    def attempt(self, case: Case, attempt: Attempt) -> None:
        self.attempts.append(attempt)

    def note(self, text: str) -> None:
        self.notes.append(text)


class Bench:
    """A ledger, a scripted cluster and a campaign between them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "c1"
        self.ledger = Ledger.open(self.directory, campaign="c1")
        self.seen = Seen()
        self.rules = Rules(hedge=False)
        self.needs = Requirements()
        self.workers = [worker("w1"), worker("w2")]
        self.job_fields: dict[str, object] = {}

    def campaign(self, script: Script) -> Campaign:
        self.cluster = FakeCluster(self.workers, script)
        self.collection = Collection(needs_of=lambda case, marks: (self.needs, None))
        job = Job(
            campaign="c1",
            directory=self.directory,
            project=self.directory,
            runner=RunnerSpec(python="python"),
            rules=self.rules,
            timings=Timings(),
            timeout_seconds=60,
            **self.job_fields,  # type: ignore[arg-type]
        )
        return Campaign(
            job,
            ledger=self.ledger,
            cluster=self.cluster,  # type: ignore[arg-type]
            collection=self.collection,
            watcher=self.seen,
        )

    def collected(self, **script: object) -> CampaignRecord:
        """Run a campaign that collects, to its end."""
        script.setdefault("suite", SUITE)
        campaign = self.campaign(Script(**script))  # type: ignore[arg-type]
        campaign.search.collect()
        campaign.run()
        campaign.finish()
        return self.record()

    def known(self, campaign: Campaign, ids: tuple[str, ...] = SUITE) -> None:
        """Give it cases of an inventory."""
        cases = [
            Case(id=each, group=each.partition("::")[0], index=n) for n, each in enumerate(ids)
        ]
        self.collection.restore(cases)
        for case in cases:
            self.ledger.case(case)
        campaign.add_known(cases, {})

    def record(self) -> CampaignRecord:
        self.ledger.commit()
        record = read_campaign(self.directory)
        assert check_invariants(record) == []
        return record


def worker(name: str, **fields: object) -> WorkerFacts:
    values = {"slots": 1, "cpu": 1.0, "memory_bytes": 2**30, **fields}
    return WorkerFacts(name=name, incarnation="life-0", worker_class="cpu", **values)  # type: ignore[arg-type]


def judged(record: CampaignRecord) -> dict[str, str]:
    verdicts = judge_record(record)
    return {case: str(verdict.judgement) for case, verdict in verdicts.items()}


def outcomes(record: CampaignRecord, case: str) -> list[str]:
    return [str(each.outcome) for each in record.attempts.get(case, ())]
