"""The ledger: what is committed is read back, once, by whoever reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_parts import Clock, attempt, case, check_invariants_but_cases, ids, open_ledger

from proctor.infra.codec import attempt_to_json
from proctor.infra.errors import LedgerDamaged, UnknownCampaign
from proctor.infra.judge import check_invariants, judge_all, judge_record
from proctor.infra.ledgers.epochs import CampaignFollower, ledger_path, output_path
from proctor.infra.ledgers.ledger import read_campaign, read_output
from proctor.infra.records import Outcome, OutputRef, WorkerFacts

# Every commit waits for the disk: fewer examples, and no deadline for one.
on_disk = settings(max_examples=25, deadline=None)


def test_a_whole_campaign_is_read_back(tmp_path: Path):
    """Header, cases, attempts, workers, batches, notes, phases, plan and last word."""
    facts = WorkerFacts(
        name="w1", incarnation="i", worker_class="cpu", slots=2, cpu=2, memory_bytes=1
    )
    clock = Clock()
    with open_ledger(
        tmp_path / "c",
        name="nightly",
        root="/project",
        project="p",
        command=("proctor", "run"),
        settings={"state": Path("/s"), "tags": frozenset({"b", "a"})},
        clock=clock,
    ) as ledger:
        ledger.write("phase", phase="collect")
        ledger.case(case(0))
        ledger.case(case(1))
        ledger.write("plan", slots=2, predicted_makespan=3.0, lower_bound=2.5, known=1, unknown=1)
        ledger.worker(facts, event="joined")
        ledger.write("batch", batch="b0", worker="w1", slot=1, cases=[0], why="longest")
        written = ledger.attempt(attempt(0, worker="w1"), [("stdout", "hello")])
        ledger.worker(facts, event="lost", reason="killed")
        ledger.muted(case(1).id, reason="flaky since May")
        ledger.write("note", level="warning", text="odd")
        clock.now += 5
        ledger.write("close", state="completed", exit_code=0, counts={"passed": 1, "not-run": 1})
    record = read_campaign(tmp_path / "c")
    header = record.header
    assert (header.campaign, header.epoch, header.name, header.root) == (
        "c",
        1,
        "nightly",
        "/project",
    )
    assert header.settings == {"state": "/s", "tags": ["a", "b"]}
    assert header.command == ("proctor", "run")
    assert list(record.cases.values()) == [case(0), case(1)]
    assert record.attempts == {case(0).id: [written]}
    assert record.text_of(written) == [("stdout", "hello")]
    assert [(each.event, each.reason, each.facts) for each in record.workers] == [
        ("joined", "", facts),
        ("lost", "killed", None),
    ]
    assert [(each.id, each.cases, each.why) for each in record.batches] == [("b0", (0,), "longest")]
    assert record.muted == {case(1).id: "flaky since May"}
    assert [(each.level, each.text) for each in record.notes] == [("warning", "odd")]
    assert [name for name, _ in record.phases] == ["collect"]
    assert record.plan is not None
    assert record.plan.predicted_makespan == 3.0
    assert record.exit_code == 0
    assert (record.state, record.last - record.started) == ("completed", 5)
    assert (record.problems, check_invariants(record)) == ([], [])


def test_cases_are_in_collection_order(tmp_path: Path):
    """Whatever order they were found in."""
    with open_ledger(tmp_path / "c") as ledger:
        for number in (2, 0, 1):
            ledger.case(case(number))
    assert [each.index for each in read_campaign(tmp_path / "c").cases.values()] == [0, 1, 2]


@on_disk
@given(
    st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.booleans()), max_size=25),
)
def test_executing_twice_is_possible_counting_twice_is_not(tmp_path_factory, steps):
    """Any interleaving of attempts, repetitions, commits and new writers: each counts once."""
    directory = tmp_path_factory.mktemp("once") / "c"
    ledger = open_ledger(directory)
    order: list[str] = []
    for number, commits, reopens in steps:
        each = attempt(number, of=number % 2)
        ledger.attempt(each)
        if each.id not in order:
            order.append(each.id)
        if commits:
            ledger.commit()
        if reopens:
            ledger.close()
            ledger = open_ledger(directory)
    ledger.close()
    record = read_campaign(directory)
    assert sorted(ids(record)) == sorted(order)
    for attempts in record.attempts.values():
        assert [each.id for each in attempts] == [
            name for name in order if name in {each.id for each in attempts}
        ]
    assert record.contradictions == []


@on_disk
@given(st.data())
def test_a_torn_tail_costs_only_itself(tmp_path_factory, data: st.DataObject):
    """Cut at any byte: readers never fail, and the next writer goes on behind the last line."""
    directory = tmp_path_factory.mktemp("torn") / "c"
    ledger = open_ledger(directory, command=("x" * 50,))
    ends: list[int] = []
    path = ledger_path(directory, 1)
    opened = path.stat().st_size
    for number in range(4):
        ledger.attempt(attempt(number))
        ledger.commit()
        ends.append(path.stat().st_size)
    ledger.close()
    size = round(data.draw(st.floats(0, 1)) * ends[-1])
    with path.open("r+b") as file:
        file.truncate(size)
    if size < opened:
        with pytest.raises(UnknownCampaign):
            read_campaign(directory)
    else:
        whole = sum(end <= size for end in ends)
        assert ids(read_campaign(directory)) == [attempt(each).id for each in range(whole)]
    with open_ledger(directory) as second:
        second.attempt(attempt(9))
    record = read_campaign(directory)
    whole = 0 if size < opened else sum(end <= size for end in ends)
    assert ids(record) == [attempt(each).id for each in [*range(whole), 9]]
    assert (record.problems, check_invariants_but_cases(record)) == ([], [])


def test_damage_is_reported_and_the_rest_is_read(tmp_path: Path):
    """Each damaged line with its file and offset, wherever it stands."""
    with open_ledger(tmp_path / "c") as ledger:
        ledger.case(case(0))
        ledger.attempt(attempt(0))
        ledger.attempt(attempt(1))
    path = ledger_path(tmp_path / "c", 1)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2].replace(b'"outcome":"passed"', b'"outcome":"splendid"')
    lines.insert(3, b"\0\0\0\n")
    path.write_bytes(b"".join(lines))
    record = read_campaign(tmp_path / "c")
    assert ids(record) == [attempt(1).id]
    assert len(record.problems) == 2
    offsets = [len(b"".join(lines[:2])), len(b"".join(lines[:3]))]
    # Damage to the line is found before damage to its meaning.
    told = " ".join(str(problem) for problem in record.problems)
    assert all(f"byte {offset} of {path}" in told for offset in offsets)
    assert "splendid" in told


@pytest.mark.parametrize(
    "wrong",
    [{"finished": 10**400}, {"usage": {"wall": 10**400}}, {"t": 10**400}, {"t": 1e300}],
    ids=["finished", "wall", "t", "a time that no calendar has"],
)
def test_a_number_that_nobody_can_reckon_with_is_damage_of_its_line(tmp_path: Path, wrong: dict):
    """It is named, and costs no other line."""
    with open_ledger(tmp_path / "c") as ledger:
        ledger.case(case(0))
        ledger.attempt(attempt(0))
    path = ledger_path(tmp_path / "c", 1)
    place = path.stat().st_size
    line = {"k": "attempt", "t": 20.0, **attempt_to_json(attempt(1)), **wrong}
    with path.open("ab") as file:
        file.write(json.dumps(line).encode() + b"\n")
    record = read_campaign(tmp_path / "c")
    assert ids(record) == [attempt(0).id]
    (problem,) = record.problems
    assert f"byte {place} of {path}" in str(problem)


# Whatever a JSON object may hold in the place of what a line should.
nonsense = (
    st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.integers(), max_size=2)
)

kinds = ["open", "phase", "case", "plan", "batch", "attempt", "amend", "worker", "muted", "close"]

keys = ["id", "case", "t", "outcome", "cases", "facts", "predecessors", "epoch", "output", "index"]


@on_disk
@given(st.sampled_from(kinds), st.dictionaries(st.sampled_from(keys), nonsense))
def test_no_line_however_wrong_stops_a_reader(tmp_path_factory, kind: str, fields: dict):
    """It is used or reported, and the lines around it are read."""
    directory = tmp_path_factory.mktemp("nonsense") / "c"
    with open_ledger(directory) as ledger:
        ledger.attempt(attempt(0))
        ledger.write(kind, **{"id": "x", "group": "g", **fields})
        ledger.case(case(0))
        ledger.attempt(attempt(1))
    record = read_campaign(directory)
    assert {attempt(0).id, attempt(1).id} <= {str(each) for each in ids(record)}


def test_a_damaged_first_line_is_damage_and_not_an_unknown_campaign(tmp_path: Path):
    """With another writer's first line, everything that stands behind it is still read."""
    with open_ledger(tmp_path / "c") as ledger:
        ledger.attempt(attempt(0))
    path = ledger_path(tmp_path / "c", 1)
    path.write_bytes(b"?" + path.read_bytes())
    with pytest.raises(LedgerDamaged, match="byte 0 of"):
        read_campaign(tmp_path / "c")
    with open_ledger(tmp_path / "c") as ledger:
        ledger.attempt(attempt(1))
    record = read_campaign(tmp_path / "c")
    assert ids(record) == [attempt(0).id, attempt(1).id]
    assert len(record.problems) == 1


def test_a_late_failure_amends_what_was_written(tmp_path: Path):
    """A wider fixture's teardown failed after the case had passed; told twice, it counts once."""
    with open_ledger(tmp_path / "c") as ledger:
        ledger.case(case(0))
        ledger.attempt(attempt(0, "passed"), [("stdout", "fine")])
        ledger.attempt(attempt(1, "infra-lost"))
        for _ in range(2):
            ledger.amend(
                case=case(0).id, outcome="error", message="teardown", text=[("traceback", "tb")]
            )
    record = read_campaign(tmp_path / "c")
    first, second = record.attempts[case(0).id]
    assert (first.outcome, first.message) == (Outcome.ERROR, "teardown")
    assert second.outcome is Outcome.INFRA_LOST
    assert record.text_of(first) == [("stdout", "fine"), ("traceback", "tb")]
    assert record.amendments[first.id][0].before is Outcome.PASSED
    assert check_invariants(record) == []


def test_a_late_failure_does_not_hide_an_earlier_one(tmp_path: Path):
    """The assertion that failed matters more than the teardown after it."""
    with open_ledger(tmp_path / "c") as ledger:
        ledger.attempt(attempt(0, "failed", message="assert 1 == 2"))
        ledger.amend(case=case(0).id, outcome="error", message="teardown")
    (only,) = read_campaign(tmp_path / "c").attempts[case(0).id]
    assert (only.outcome, only.message) == (Outcome.FAILED, "assert 1 == 2")


def test_an_amendment_of_nothing_is_damage(tmp_path: Path):
    """It would otherwise vanish."""
    with open_ledger(tmp_path / "c") as ledger:
        ledger.amend(case="ghost", outcome="error", message="?")
    (problem,) = read_campaign(tmp_path / "c").problems
    assert "ghost" in str(problem)


def test_a_case_that_vanished_is_gone_unless_it_ran(tmp_path: Path):
    """A stale inventory named it; one that ran was there."""
    with open_ledger(tmp_path / "c") as ledger:
        for number in (0, 1, 2):
            ledger.case(case(number))
            ledger.vanished(case(number), reason="pytest no longer finds it")
        ledger.attempt(attempt(0, of=1))
        ledger.case(case(2))
    record = read_campaign(tmp_path / "c")
    assert list(record.cases) == [case(1).id, case(2).id]
    assert check_invariants(record) == []


def test_text_of_any_content_comes_back(tmp_path: Path):
    """Programs print what they like; so do several attempts into one file."""
    texts = [[("stdout", "é\0\n"), ("stderr", "\udc80")], [], [("log", "x" * 100_000)]]
    with open_ledger(tmp_path / "c") as ledger:
        written = [ledger.attempt(attempt(number), text) for number, text in enumerate(texts)]
    assert [
        read_output(tmp_path / "c", each.output) if each.output else [] for each in written
    ] == texts


@pytest.mark.parametrize("ref", [(1, 5, 10_000), (1, 1, 5), (7, 0, 5)])
def test_text_that_is_not_there_is_damage(tmp_path: Path, ref: tuple[int, int, int]):
    """Beyond the end, from the middle, or in a file that is gone."""
    with open_ledger(tmp_path / "c") as ledger:
        ledger.attempt(attempt(0), [("stdout", "hello")])
    epoch, offset, length = ref
    with pytest.raises(LedgerDamaged):
        read_output(tmp_path / "c", OutputRef(epoch=epoch, offset=offset, length=length))


def test_damaged_text_costs_no_report(tmp_path: Path):
    """It is said in the text's place."""
    with open_ledger(tmp_path / "c") as ledger:
        written = ledger.attempt(attempt(0), [("stdout", "hello")])
    output_path(tmp_path / "c", 1).write_bytes(b"")
    ((section, text),) = read_campaign(tmp_path / "c").text_of(written)
    assert section == "damaged"
    assert str(output_path(tmp_path / "c", 1)) in text


def test_a_follower_reports_damage(tmp_path: Path):
    """Once, with its place, and goes on behind it."""
    with open_ledger(tmp_path / "c") as ledger:
        ledger.attempt(attempt(0))
    path = ledger_path(tmp_path / "c", 1)
    size = path.stat().st_size
    with path.open("ab") as file:
        file.write(b"?\n")
    follower = CampaignFollower(tmp_path / "c")
    assert len(follower.poll()) == 2
    assert follower.poll() == []
    (problem,) = follower.problems
    assert f"byte {size} of {path}" in str(problem)


def test_verdicts_of_a_record_are_one_for_each_case(tmp_path: Path):
    """Cases without an attempt have one too."""
    with open_ledger(tmp_path / "c") as ledger:
        for number in range(3):
            ledger.case(case(number))
        ledger.attempt(attempt(0, "failed", of=1))
        ledger.muted(case(1).id, reason="")
    record = read_campaign(tmp_path / "c")
    verdicts = judge_all(record.cases.values(), record.attempts, record.muted)
    assert [str(each.judgement) for each in verdicts.values()] == ["not-run", "muted", "not-run"]


def test_a_case_that_no_worker_could_run_has_no_attempt(tmp_path: Path):
    """The ledger says so each time; whatever is heard of the case later counts."""
    for epoch in (1, 2):
        with open_ledger(tmp_path / "c1") as ledger:
            ledger.case(case(0))
            ledger.unmet(case(0), reason=f"needs gpu={epoch}")
    record = read_campaign(tmp_path / "c1")
    assert (record.attempts, record.left_out) == ({}, {case(0).id: "needs gpu=2"})
    assert [(each.reason, each.epoch) for each in record.unmet[case(0).id]] == [
        ("needs gpu=1", 1),
        ("needs gpu=2", 2),
    ]
    with open_ledger(tmp_path / "c1") as ledger:
        ledger.attempt(attempt(0, "cancelled", message="stopped on purpose"))
    record = read_campaign(tmp_path / "c1")
    assert record.left_out == {}
    assert judge_record(record)[case(0).id].message == "stopped on purpose"


def test_an_attempt_that_never_was_is_none(tmp_path: Path):
    """Earlier versions wrote one in a batch of its own where no worker could run a case."""
    with open_ledger(tmp_path / "c1") as ledger:
        ledger.case(case(0))
        ledger.attempt(attempt(0, "cancelled", batch="unmet", message="needs gpu=1"))
        ledger.case(case(1))
        # A batch of this name that somebody ran is a batch.
        ledger.attempt(attempt(1, "cancelled", of=1, batch="unmet", worker="w1"))
    record = read_campaign(tmp_path / "c1")
    assert record.left_out == {case(0).id: "needs gpu=1"}
    assert list(record.attempts) == [case(1).id]
