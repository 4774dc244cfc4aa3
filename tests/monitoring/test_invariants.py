"""Invariants over whole campaigns: what holds of sound ones, and what doctored ones break."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mutants import mutants
from mutation_runs import attempt_mutant, calm_campaigns
from plays import plays
from virtual_campaigns import perform
from virtual_plays import Play, cases, without_faults, worker

from proctor.infra.faults.verdict import Validity
from proctor.monitoring.invariants import Examination, Limits, examine_campaign

Line = dict[str, Any]
Change = Callable[[list[Line]], object]
PLAYS = {play.name: play for play in plays()}


@pytest.fixture(scope="module")
def performed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state directory with one campaign of a single writer, sound."""
    state = tmp_path_factory.mktemp("state")
    perform(PLAYS["kills"], state)
    perform(PLAYS["resumed"], state)
    return state


def doctored(performed: Path, state: Path, change: Change, *, play: str = "kills") -> Path:
    """A copy of a sound campaign, with its newest journal changed."""
    source, target = performed / "campaigns" / play, state / "campaigns" / play
    target.mkdir(parents=True)
    journals = sorted(source.glob("ledger-*.jsonl"))
    for journal in journals[:-1]:
        (target / journal.name).write_bytes(journal.read_bytes())
    lines = [json.loads(raw) for raw in journals[-1].read_text().splitlines()]
    change(lines)
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (target / journals[-1].name).write_text(text)
    return target


def broken(examination: Examination) -> set[str]:
    return {each.invariant for each in examination.held if each.validity is Validity.INVALID}


def first(lines: list[Line], kind: str, **fields: object) -> Line:
    return next(each for each in of(lines, kind) if fields.items() <= each.items())


def of(lines: list[Line], kind: str) -> Iterator[Line]:
    return (each for each in lines if each["k"] == kind)


@pytest.mark.parametrize("play", PLAYS)
def test_the_engine_holds_them_all(play: str, tmp_path: Path) -> None:
    """Kills, freezes, deaths of the campaign and fenced writers break nothing."""
    calm = None
    if not PLAYS[play].lossy:
        calm = perform(without_faults(PLAYS[play]), tmp_path)
    examination = examine_campaign(perform(PLAYS[play], tmp_path), against=calm)
    assert [each for each in examination.held if each.validity is not Validity.VALID] == []
    assert ("same-verdicts" in {each.invariant for each in examination.held}) == bool(calm)


def _drop_attempts(lines: list[Line]) -> None:
    case = first(lines, "attempt", outcome="passed")["case"]
    lines[:] = [each for each in lines if each.get("case") != case]


def _contradict(lines: list[Line]) -> None:
    passed = first(lines, "attempt", outcome="passed")
    lines.insert(-1, {**passed, "outcome": "failed"})


def _run_again(lines: list[Line]) -> None:
    passed = first(lines, "attempt", outcome="passed")
    index = first(lines, "case", id=passed["case"])["index"]
    sent = list(of(lines, "batch"))[-1]
    sent["cases"].append(index)


def _tell_better(lines: list[Line]) -> None:
    first(lines, "close")["counts"] = {"passed": 40}


def _run_unordered(lines: list[Line]) -> None:
    first(lines, "attempt", outcome="passed")["batch"] = "b999"


def _overlap(lines: list[Line]) -> None:
    found = [each for each in of(lines, "attempt") if each["outcome"] == "passed"]
    slot = [(each["worker"], each.get("slot", 0), each["incarnation"]) for each in found]
    later = next(n for n in range(1, len(found)) if slot[n] in slot[:n])
    found[later]["started"] = found[slot.index(slot[later])]["started"] + 0.01


def _small_worker(lines: list[Line]) -> None:
    for line in of(lines, "worker"):
        if line["facts"]:
            line["facts"]["cpu"] = 1.0


def _idle(lines: list[Line]) -> None:
    """Another worker was there all the time, and nobody sent it anything."""
    joined = first(lines, "worker", event="joined")
    facts = {**joined["facts"], "name": "w9"}
    lines.insert(lines.index(joined), {**joined, "worker": "w9", "facts": facts})


def _zombie_counts(lines: list[Line]) -> None:
    """The newest writer accepted what was written behind its predecessor's back."""
    for epoch in lines[0]["predecessors"]:
        lines[0]["predecessors"][epoch] += 10**6


def _old_epoch(lines: list[Line]) -> None:
    last = list(of(lines, "attempt"))[-1]
    last["epoch"] = 1
    last["id"] = f"1.{last['batch']}.{last['case']}"


def _given_up(lines: list[Line]) -> None:
    """The last attempt is one of a worker that had been lost a second before."""
    place = max(n for n, each in enumerate(lines) if each["k"] == "attempt")
    told = lines[place]
    lost = {
        "k": "worker",
        "t": told["started"] - 0.1,
        "worker": told["worker"],
        "incarnation": told["incarnation"],
        "event": "lost",
        "facts": None,
        "reason": "silence",
    }
    lines.insert(place, lost)


def _lost_waits(lines: list[Line]) -> None:
    """A lost execution was told at the beginning, and its case was sent again at the end."""
    lost = first(lines, "attempt", outcome="infra-lost")
    index = first(lines, "case", id=lost["case"])["index"]
    again = max(n for n, each in enumerate(lines) if index in each.get("cases", ()))
    lines.remove(lost)
    place = next(n for n, each in enumerate(lines) if each["k"] == "batch") + 1
    lines.insert(place, {**lost, "t": lines[place]["t"] - 5.0})
    assert place < again


def _lose_two(lines: list[Line]) -> None:
    """A worker's only batch on a slot is said to have run two cases when it died."""
    lost = first(lines, "attempt", outcome="infra-lost")
    other = next(each["id"] for each in of(lines, "case") if each["id"] != lost["case"])
    twin = {**lost, "case": other, "id": f"{lost['id']}-too", "started": lost["finished"]}
    lines.insert(lines.index(lost) + 1, twin)


@pytest.mark.parametrize(
    ("play", "change", "invariant"),
    [
        ("kills", _drop_attempts, "no-case-lost"),
        ("kills", _contradict, "one-verdict"),
        ("kills", _run_again, "one-verdict"),
        ("kills", _tell_better, "told-as-judged"),
        ("kills", _run_unordered, "sent-before-run"),
        ("kills", _overlap, "one-batch-a-slot"),
        ("kills", _lose_two, "one-batch-a-slot"),
        ("kills", _small_worker, "resources-fit"),
        ("kills", _idle, "waits-bounded"),
        ("kills", _lost_waits, "lost-work-goes-first"),
        ("kills", _given_up, "nothing-fenced"),
        ("resumed", _old_epoch, "nothing-fenced"),
        ("resumed", _zombie_counts, "readable"),
    ],
)
def test_each_is_broken_by_what_it_forbids(
    performed: Path, tmp_path: Path, play: str, change: Change, invariant: str
) -> None:
    """A sound record with one thing wrong in it is invalid, and says where."""
    directory = doctored(performed, tmp_path, change, play=play)
    examination = examine_campaign(directory, limits=Limits(wait=2.0))
    assert invariant in broken(examination)
    assert examination.validity is Validity.INVALID
    assert all(held.count >= len(held.offences) for held in examination.held)


def test_a_damaged_line_is_named_with_its_byte(performed: Path, tmp_path: Path) -> None:
    """Nobody can know what it said."""
    directory = doctored(performed, tmp_path, lambda lines: None)
    journal = directory / "ledger-000001.jsonl"
    raw = journal.read_bytes().split(b"\n")
    at = len(b"\n".join(raw[:5])) + 1
    raw[5] = raw[5][:20] + b"\x00" + raw[5][21:]
    journal.write_bytes(b"\n".join(raw))
    readable = examine_campaign(directory).held[0]
    assert readable.validity is Validity.INVALID
    assert f"byte {at} " in readable.offences[0].reason


def test_without_its_last_word_nothing_is_known(performed: Path, tmp_path: Path) -> None:
    """Unknown is no pass: of the campaign itself, and of one that is held against it."""
    open_one = doctored(performed, tmp_path, lambda lines: lines.pop())
    assert examine_campaign(open_one).validity is Validity.UNKNOWN
    whole = performed / "campaigns" / "kills"
    compared = examine_campaign(whole, against=open_one)
    assert compared.validity is Validity.UNKNOWN
    assert compared.held[-1].invariant == "same-verdicts"


def test_a_torn_last_line_is_nobodys_fault(performed: Path, tmp_path: Path) -> None:
    """It is what a dying writer leaves, and never counted."""
    directory = doctored(performed, tmp_path, lambda lines: None)
    with (directory / "ledger-000001.jsonl").open("ab") as journal:
        journal.write(b'{"k":"attempt","t":1')
    assert examine_campaign(directory).validity is Validity.VALID


def test_another_verdict_is_named(performed: Path, tmp_path: Path) -> None:
    """Held against a campaign in which one case came out otherwise."""
    play = Play(
        name="kills",
        cases=PLAYS["kills"].cases,
        workers=PLAYS["kills"].workers,
        outcomes={**PLAYS["kills"].outcomes, "test_3.py::test_33": ("failed",)},
    )
    held = examine_campaign(
        performed / "campaigns" / "kills", against=perform(play, tmp_path)
    ).held[-1]
    assert [each.reason for each in held.offences] == [
        "test_3.py::test_33 is passed; in the other campaign it is failed"
    ]


@pytest.mark.parametrize(("after", "verdict"), [(0.1, Validity.VALID), (-9.0, Validity.INVALID)])
def test_a_kill_is_to_be_noticed_in_time(
    performed: Path, tmp_path: Path, after: float, verdict: Validity
) -> None:
    """By the time of the injection and the time its worker was given up."""
    lost: list[Line] = []
    directory = doctored(performed, tmp_path, lambda lines: lost.extend(of(lines, "worker")))
    gone = next(each for each in lost if each["event"] == "lost")
    recorders = tmp_path / "recorders" / "faults"
    recorders.mkdir(parents=True)
    fault = {
        "k": "fault",
        "t": gone["t"] - 0.3,
        "id": "f1",
        "fault": "kill",
        "target": f"worker:{gone['worker']}",
        "event": "injected",
        "until": gone["t"],
    }
    (recorders / "1.jsonl").write_text(json.dumps(fault) + "\n")
    bound = 0.3 + after
    held = examine_campaign(
        directory, recorders=tmp_path / "recorders", limits=Limits(dead=bound)
    ).held[-1]
    assert (held.invariant, held.validity) == ("detected-in-time", verdict)


def test_expected_faults_that_did_not_come_are_unknown(performed: Path) -> None:
    """A verdict on a campaign that nothing was done to says nothing of faults."""
    examination = examine_campaign(performed / "campaigns" / "kills", faults_expected=True)
    assert examination.validity is Validity.UNKNOWN


def test_names_that_strict_json_cannot_say_are_read(tmp_path: Path) -> None:
    """Half a surrogate pair in an id changes no verdict."""
    directory = perform(Play(name="odd", cases=cases(3), workers=[worker("w1")]), tmp_path)
    journal = directory / "ledger-000001.jsonl"
    journal.write_text(journal.read_text().replace("test_0.py::test_0", "test_0.py::\\ud800"))
    assert examine_campaign(directory).validity is Validity.VALID


FEW = {
    "nothing comes back",
    "one retry too many",
    "lost work waits for the rest",
    "the rest of a dead worker's batch is lost too",
    "slots are never taken",
    "losses count as passed",
    "some attempts are not written",
    "fenced lines are read",
    "flaky is passed",
    "results are believed and not written",
    "workers that are away are forgotten",
    "what is left out has another's name",
    "what was left out stays so",
}


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What some plays come to on a day without faults."""
    few = [PLAYS[name] for name in ("plain", "kills", "resumed", "unmet", "late")]
    return calm_campaigns(few, tmp_path_factory.mktemp("calm"))


@pytest.mark.parametrize("name", sorted(FEW))
def test_bugs_in_the_engine_are_found(name: str, calm: dict[str, Path]) -> None:
    """A few of the bugs of tests/bench/mutations.py: each breaks an invariant."""
    mutant = next(each for each in mutants() if each.name == name)
    tried = attempt_mutant(mutant, [PLAYS[name] for name in calm], calm, enough=1)
    assert tried.verdict is Validity.INVALID


def test_a_journal_of_nothing_but_damage_is_invalid(tmp_path: Path) -> None:
    """No line of it can be read, and that is what is said, not what SQL makes of no rows."""
    (tmp_path / "ledger-000001.jsonl").write_text("garbage\n")
    assert broken(examine_campaign(tmp_path)) == {"readable"}


def test_an_empty_ledger_is_no_valid_one(tmp_path: Path) -> None:
    """Nothing was ever opened: nobody can tell of it."""
    directory = tmp_path / "campaigns" / "empty"
    directory.mkdir(parents=True)
    (directory / "ledger-000001.jsonl").touch()
    examination = examine_campaign(directory)
    assert examination.validity is Validity.UNKNOWN
    assert "no writer has opened" in str(examination.held)
