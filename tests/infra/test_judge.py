"""From attempts to verdicts, from verdicts to the exit code."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger_parts import attempt, case, open_ledger

from proctor.infra.judge import check_invariants, exit_code, judge, judge_all, judge_record, tally
from proctor.infra.ledgers.ledger import read_campaign
from proctor.infra.records import Judgement, Outcome


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ("", "not-run"),
        ("passed", "passed"),
        ("skipped", "skipped"),
        ("xfailed", "xfailed"),
        ("xpassed", "xpassed"),
        ("failed", "failed"),
        ("error", "error"),
        ("crashed", "crashed"),
        ("timed-out", "timed-out"),
        ("out-of-memory", "out-of-memory"),
        ("failed failed", "failed"),
        ("failed crashed", "crashed"),
        ("failed passed", "flaky"),
        ("crashed passed", "flaky"),
        ("failed skipped", "flaky"),
        ("passed passed", "passed"),
        ("passed failed", "failed"),
        ("infra-lost", "infra-lost"),
        ("infra-lost infra-lost", "infra-lost"),
        ("infra-lost passed", "passed"),
        ("passed infra-lost", "passed"),
        ("failed infra-lost", "failed"),
        ("failed cancelled", "failed"),
        ("cancelled", "not-run"),
        ("cancelled infra-lost", "infra-lost"),
        ("cancelled passed", "passed"),
    ],
)
def test_the_last_result_decides(outcomes: str, expected: str):
    """Infrastructure losses and cancellations say nothing; a failure before makes it flaky."""
    attempts = [attempt(number, outcome) for number, outcome in enumerate(outcomes.split())]
    assert judge("c", attempts).judgement == expected


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ("failed", "muted"),
        ("crashed", "muted"),
        ("failed passed", "muted"),
        ("passed", "passed"),
        ("skipped", "skipped"),
        ("infra-lost", "infra-lost"),
        ("", "not-run"),
    ],
)
def test_what_a_muted_case_does_wrong_does_not_count(outcomes: str, expected: str):
    """Only what it did wrong: a pass is a pass, and a lost one is lost."""
    attempts = [attempt(number, outcome) for number, outcome in enumerate(outcomes.split())]
    assert judge("c", attempts, muted=True).judgement == expected


def test_a_verdict_names_the_attempt_that_decided():
    """With its message and time, and how often the case was executed."""
    attempts = [
        attempt(0, "failed", message="assert 1 == 2"),
        attempt(1, "infra-lost", message="worker died"),
        attempt(2, "cancelled"),
        attempt(3, "passed", started=1.0, finished=3.5),
    ]
    verdict = judge("c", attempts)
    assert (verdict.decided_by, verdict.attempts, verdict.wall_seconds) == (attempts[3].id, 3, 2.5)
    assert verdict.message == "passed after it had failed: assert 1 == 2"
    assert judge("c", attempts[:2]).message == "assert 1 == 2"
    assert judge("c", attempts[1:3]).message == "worker died"


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ("", ("not-run", "needs gpu=1")),
        ("cancelled", ("not-run", "needs gpu=1")),
        ("infra-lost", ("infra-lost", "m0")),
        ("failed", ("failed", "m0")),
    ],
)
def test_a_case_that_no_worker_could_run_is_not_run_and_says_why(outcomes, expected):
    """What it had come to before that counts all the same."""
    attempts = [
        attempt(number, outcome, message=f"m{number}")
        for number, outcome in enumerate(outcomes.split())
    ]
    verdict = judge("c", attempts, unmet="needs gpu=1")
    assert (verdict.judgement, verdict.message) == expected


def test_what_is_left_out_is_a_case_of_the_campaign(tmp_path: Path):
    """One that vanished later is none any more, and that is no contradiction."""
    with open_ledger(tmp_path / "c1") as ledger:
        ledger.case(case(0))
        for number in (0, 1):
            ledger.unmet(case(number), reason="needs gpu=1")
    record = read_campaign(tmp_path / "c1")
    assert check_invariants(record) == [
        f"{case(1).id} was left out, which is no case of this campaign"
    ]
    with open_ledger(tmp_path / "c1") as ledger:
        ledger.case(case(1))
        ledger.vanished(case(0), reason="gone")
        ledger.vanished(case(1), reason="gone")
    record = read_campaign(tmp_path / "c1")
    assert (check_invariants(record), judge_record(record)) == ([], {})


@given(st.lists(st.sampled_from(Outcome), max_size=8), st.booleans(), st.data())
def test_attempts_that_say_nothing_change_no_judgement(outcomes, muted, data):
    """Lost and cancelled executions may come anywhere among the results."""
    attempts = [attempt(number, outcome) for number, outcome in enumerate(outcomes)]
    results = [each for each in attempts if each.outcome.is_result]
    verdict = judge("c", attempts, muted=muted)
    if results:
        assert verdict.judgement == judge("c", results, muted=muted).judgement
        assert verdict.decided_by == results[-1].id
    else:
        assert verdict.judgement in {Judgement.INFRA_LOST, Judgement.NOT_RUN}


@given(st.lists(st.sampled_from(Judgement)))
def test_every_verdict_is_counted_once(judgements):
    """The counts add up to the number of cases."""
    verdicts = [
        replace(judge(str(number), ()), judgement=kind) for number, kind in enumerate(judgements)
    ]
    counts = tally(verdicts)
    assert sum(counts.values()) == len(verdicts)
    assert all(counts[kind] == judgements.count(kind) for kind in counts)


@pytest.mark.parametrize(
    ("counts", "settings", "expected"),
    [
        ({"passed": 3}, {}, 0),
        ({"passed": 3, "skipped": 1, "xfailed": 1, "muted": 1, "flaky": 1}, {}, 0),
        ({"passed": 3, "failed": 1}, {}, 1),
        ({"crashed": 1}, {}, 1),
        ({"timed-out": 1}, {}, 1),
        ({"out-of-memory": 1}, {}, 1),
        ({"error": 1}, {}, 1),
        # -x: the rest was not run, and that is no news.
        ({"failed": 1, "not-run": 5}, {}, 1),
        # A failure is a fact, whatever the infrastructure did.
        ({"failed": 1, "infra-lost": 1}, {}, 1),
        ({"passed": 1}, {"cancelled": True}, 2),
        ({"failed": 1}, {"cancelled": True}, 2),
        ({}, {"collection_failed": True}, 2),
        ({}, {}, 5),
        ({"passed": 3, "infra-lost": 1}, {}, 6),
        ({"passed": 3, "not-run": 1}, {}, 6),
        ({"passed": 3, "flaky": 1}, {"fail_on_flaky": True}, 7),
        ({"failed": 3, "flaky": 1}, {"fail_on_flaky": True}, 1),
        ({"failed": 1}, {"violations": 1}, 8),
        ({"passed": 1, "not-run": 1}, {"deadline_passed": True, "cancelled": True}, 9),
    ],
)
def test_exit_codes_are_as_documented(counts: dict, settings: dict, expected: int):
    """What makes the rest unreliable comes first."""
    assert exit_code({Judgement(kind): n for kind, n in counts.items()}, **settings) == expected


def test_a_sound_campaign_violates_nothing(tmp_path: Path):
    """Re-runs, losses, mutes and its own counts included."""
    with open_ledger(tmp_path / "c") as ledger:
        for number in range(3):
            ledger.case(case(number))
        ledger.attempt(attempt(0, "failed"))
        ledger.attempt(attempt(1, "passed"))
        ledger.attempt(attempt(2, "infra-lost", of=1))
        counts = {"flaky": 1, "infra-lost": 1, "not-run": 1}
        ledger.write("close", state="completed", exit_code=6, counts=counts)
    assert check_invariants(read_campaign(tmp_path / "c")) == []


def test_each_violation_is_a_sentence(tmp_path: Path):
    """Orphans, contradictions, wrong verdicts and wrong counts."""
    with open_ledger(tmp_path / "c") as ledger:
        for number in range(3):
            ledger.case(case(number))
        ledger.attempt(attempt(0, "passed"))
        ledger.attempt(attempt(0, "failed"))
        ledger.attempt(attempt(1, "passed", of=9))
        ledger.write("close", state="completed", exit_code=0, counts={"passed": 3})
    record = read_campaign(tmp_path / "c")
    told = judge_all(record.cases.values(), record.attempts)
    del told[case(1).id]
    told["ghost"] = judge("ghost", ())
    told[case(2).id] = replace(told[case(2).id], judgement=Judgement.PASSED)
    assert check_invariants(record, told) == [
        f"attempt {attempt(0).id} is recorded as passed and again as failed",
        f"attempt {attempt(1, of=9).id} is of {case(9).id}, which is no case of this campaign",
        f"{case(1).id} has no verdict",
        f"{case(2).id} is told to be passed; its attempts say not-run",
        "there is a verdict on ghost, which is no case of this campaign",
        "the last line says 3 passed; the attempts say 1",
        "the last line says 0 not-run; the attempts say 2",
    ]


def test_lines_of_a_fenced_epoch_that_count_are_a_violation(tmp_path: Path):
    """As if a reader had not kept to what the successor accepted."""
    with open_ledger(tmp_path / "c"):
        pass
    with open_ledger(tmp_path / "c"):
        pass
    record = read_campaign(tmp_path / "c")
    record.bytes_read[1] += 1
    assert check_invariants(record) == ["lines of epoch 1 count though epoch 2 had fenced them"]
