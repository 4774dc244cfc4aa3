"""What workers kept of an interrupted campaign comes into its ledger once."""

from __future__ import annotations

from pathlib import Path

from ledger_parts import attempt, case, open_ledger

from proctor.infra.engine.attempts import Excuses, attempt_of
from proctor.infra.engine.fakes import FakeCluster, Script
from proctor.infra.engine.recovery import recover
from proctor.infra.judge import check_invariants, judge_all
from proctor.infra.ledgers.ledger import CampaignRecord, read_campaign
from proctor.infra.records import Outcome
from proctor.infra.runners.outbox import Outbox
from proctor.infra.runners.spec import Message, ended


def done(number: int, batch: str, outcome: str = "passed", message: str = "") -> Message:
    told = ended(case(number).id, outcome=outcome, started=1.0, finished=2.0, message=message)
    return {**told, "b": batch, "e": 1, "w": "w1", "i": "life-1", "s": 0, "text": [["stdout", "x"]]}


def interrupted(directory: Path, *, heard: int) -> CampaignRecord:
    """Three cases, of which the ledger has heard of so many."""
    with open_ledger(directory) as ledger:
        for number in range(3):
            ledger.case(case(number))
        for number in range(heard):
            found, text = attempt_of(done(number, "b1"))
            ledger.attempt(found, text)
    return read_campaign(directory)


def recovered(
    tmp_path: Path, record: CampaignRecord, *kept: Message, epoch: int = 2
) -> CampaignRecord:
    cluster = FakeCluster([], Script(kept=kept))
    with open_ledger(record.directory) as ledger:
        past = recover(
            record,
            ledger=ledger,
            cluster=cluster,  # type: ignore[arg-type]
            scratch=tmp_path / "scratch",
            excuses=Excuses(infra_retries=3),
        )
        assert cluster.fences == [ledger.epoch] == [epoch]
    after = read_campaign(record.directory)
    assert check_invariants(after) == []
    assert {each: [a.id for a in several] for each, several in past.items()} == {
        each: [a.id for a in several] for each, several in after.attempts.items()
    }
    return after


def test_what_was_not_heard_is_written_once(tmp_path: Path) -> None:
    """From outboxes here and at the workers, each execution once, with its text."""
    record = interrupted(tmp_path / "c1", heard=1)
    Outbox.of(tmp_path / "scratch", record.campaign, "life-1").keep(done(1, "b1"))
    after = recovered(tmp_path, record, done(0, "b1"), done(1, "b1"), done(1, "b1"))
    Outbox.discard(tmp_path / "scratch", record.campaign)
    assert {each: len(several) for each, several in after.attempts.items()} == {
        case(0).id: 1,
        case(1).id: 1,
    }
    assert after.text_of(after.attempts[case(1).id][0]) == [("stdout", "x")]


def test_a_process_that_was_killed_is_excused_as_it_would_have_been(tmp_path: Path) -> None:
    """Twice at most, those counted that were excused before: what killed all may have killed it."""
    record = interrupted(tmp_path / "c1", heard=0)
    kills = [done(0, f"b{n}", "crashed", "killed by SIGKILL (9)") for n in range(3)]
    after = recovered(tmp_path, record, kills[0])
    assert [each.outcome for each in after.attempts[case(0).id]] == [Outcome.INFRA_LOST]
    again = recovered(tmp_path, after, *kills, epoch=3)
    assert [each.outcome.value for each in again.attempts[case(0).id]] == [
        "infra-lost",
        "infra-lost",
        "crashed",
    ]


def test_an_execution_too_many_does_not_change_a_verdict(tmp_path: Path) -> None:
    """It had passed in the ledger; the other one's word was never heard."""
    record = interrupted(tmp_path / "c1", heard=1)
    after = recovered(tmp_path, record, done(0, "b9", "failed", "assert 0"))
    assert [str(each.outcome) for each in after.attempts[case(0).id]] == ["passed", "cancelled"]
    assert judge_all(after.cases.values(), after.attempts)[case(0).id].judgement == "passed"


def test_cases_of_nobody_are_left_alone(tmp_path: Path) -> None:
    """The ledger of the dead writer had not announced it: it will be collected again."""
    record = interrupted(tmp_path / "c1", heard=0)
    assert recovered(tmp_path, record, done(7, "b1")).attempts == {}


def test_a_teardown_that_failed_later_is_not_forgotten(tmp_path: Path) -> None:
    """A late word about a case amends it, whether or not the ledger had the case's record."""
    record = interrupted(tmp_path / "c1", heard=1)
    late = [
        {**done(number, "b2"), "k": "late", "outcome": "error", "message": "spilt"}
        for number in range(3)
    ]
    after = recovered(tmp_path, record, done(1, "b1"), *late, *late)
    verdicts = judge_all(after.cases.values(), after.attempts)
    assert [str(each.judgement) for each in verdicts.values()] == ["error", "error", "not-run"]
    assert after.problems == []


def test_a_campaign_with_all_its_results_stays_as_it_was(tmp_path: Path) -> None:
    """Resuming twice changes nothing."""
    record = interrupted(tmp_path / "c1", heard=3)
    after = recovered(tmp_path, record, *(done(number, "b1") for number in range(3)))
    assert after.attempts == record.attempts
    assert attempt(0).case in after.attempts
