"""From what pytest found to cases, as it streams in and as it is looked at again."""

from __future__ import annotations

from typing import Any

import pytest

from proctor.infra.engine.collect import MOST_UNSELECTED, Collection
from proctor.infra.errors import PROBLEMS_TOLD, BadSetting
from proctor.infra.records import Case, Requirements


def found(name: str, file: str = "a.py", *marks: str, deselected: bool = False) -> dict[str, Any]:
    told = [{"name": mark, "args": [], "kwargs": {}} for mark in marks]
    return {
        "k": "item",
        "id": f"{file}::{name}",
        "file": file,
        "marks": told,
        "deselected": deselected,
    }


def collection(**fields: Any) -> Collection:
    needs = Requirements(gpu=1)
    return Collection(
        needs_of=lambda case, marks: (needs if marks else Requirements(), None), **fields
    )


def test_items_become_cases_in_their_order() -> None:
    """Marks decide on needs and are its tags, each once; an id counts once."""
    here = collection()
    cases = [here.item(found(name, "a.py", "slow", "slow")) for name in "xyx"]
    assert cases[2] is None
    assert [case.index for case in cases if case] == [0, 1]
    assert cases[0] is not None
    assert (cases[0].tags, cases[0].needs.gpu, cases[0].group) == (("slow",), 1, "a.py")
    assert here.item(found("z", deselected=True)) is None
    assert list(here.cases) == ["a.py::x", "a.py::y"]


def unreadable(case: str, marks: Any) -> Any:
    raise BadSetting(f"{case}: unknown requirement 'gpus'", remedy="did you mean gpu?")


def test_one_case_whose_needs_cannot_be_read_is_refused_in_one_line() -> None:
    """Nobody guesses what it needs; of what is not asked for in the end it does not matter."""
    here = Collection(needs_of=unreadable)
    assert here.item(found("x")) is None
    assert here.item(found("y")) is None
    with pytest.raises(BadSetting) as told:
        here.check_needs(["a.py::y"])
    assert str(told.value) == "a.py::y: unknown requirement 'gpus'; did you mean gpu?"
    here.check_needs([])
    # Once it is all known, that is over.
    assert here.unreadable == {}


def test_all_cases_whose_needs_cannot_be_read_are_told_at_once() -> None:
    """A line for each of so many, and how many more there are."""
    here = Collection(needs_of=unreadable)
    ids = [f"a.py::test_{number}" for number in range(PROBLEMS_TOLD + 3)]
    for case_id in ids:
        here.item(found(case_id.removeprefix("a.py::")))
    with pytest.raises(BadSetting) as told:
        here.check_needs(ids)
    first, *rest, last = str(told.value).splitlines()
    assert first == f"what {len(ids)} cases need cannot be read:"
    assert rest == [
        f"  {each}: unknown requirement 'gpus'; did you mean gpu?" for each in ids[:PROBLEMS_TOLD]
    ]
    assert last == "  and 3 more"
    assert [each.partition(": ")[0] for each in told.value.problems] == ids


def test_new_cases_follow_those_that_were_restored() -> None:
    """Indexes stay unique: the dispatcher keeps its books by them."""
    here = collection()
    here.restore([Case(id="a.py::x", group="a.py", index=41)])
    case = here.item(found("y"))
    assert case is not None
    assert case.index == 42
    skipped = here.skipped_file("b.py", "not here")
    assert skipped is not None
    assert skipped.index == 43
    assert here.skipped_file("b.py", "not here") is None


def test_a_second_look_tells_what_is_gone_and_what_is_new() -> None:
    """Also of cases that were not wanted this time."""
    here = collection(only=frozenset({"a.py::x"}))
    assert [here.item(found(name)) is not None for name in "xy"] == [True, False]
    assert [case.id for case in here.wanted()] == ["a.py::x"]
    assert here.missing_from("a.py", ["a.py::y"]) == ["a.py::x"]
    assert not here.holds_more("a.py", ["a.py::y", "a.py::x"])
    assert here.holds_more("a.py", ["a.py::z"])
    assert here.missing_from("b.py", []) == []
    assert here.drop("a.py::x") is not None
    assert here.drop("a.py::x") is None
    assert here.missing_from("a.py", ["a.py::y"]) == []


def test_what_is_deselected_in_the_end_is_dropped_at_once() -> None:
    """-k finds one of very many: each costs a moment, not a look at all the others of its file."""
    here = collection(only=frozenset({f"a.py::{n}" for n in range(0, 60_000, 2)}))
    for number in range(60_000):
        here.item(found(str(number)))
        assert here.total == number // 2 + 1
    dropped = here.keep_only(["a.py::59998", "a.py::59999"])
    assert [len(dropped), len(here.cases), here.total] == [59_998, 2, 1]
    assert not here.holds_more("a.py", ["a.py::59998", "a.py::59999"])
    assert here.missing_from("a.py", []) == ["a.py::59998", "a.py::59999"]


def test_why_a_suite_cannot_be_collected() -> None:
    """Every file, and the exception itself with its line."""
    here = collection()
    assert here.why_not({"exit": 3}) == "pytest ended with code 3"
    text = "a.py:1: in <module>\n    import b\nE   SyntaxError: no\nE   ImportError: gone"
    here.hear({"k": "collect-error", "id": "a.py", "text": text})
    assert here.why_not({"exit": 2}) == "a.py cannot be collected: ImportError: gone"
    here.hear({"k": "collect-error", "id": "b.py", "text": "plain words"})
    assert here.why_not({"exit": 2}) == (
        "2 files cannot be collected: a.py: ImportError: gone, b.py: plain words"
    )
    parsed = 'E     File "/r/c.py", line 7\nE       def x(:\nE   SyntaxError: no'
    here.errors = [("c.py", parsed)]
    assert here.why_not({"exit": 2}) == "c.py cannot be collected: SyntaxError: no (line 7)"
    here.errors = [("", "not found: a.py::nope\n(no match in a.py)")]
    assert here.why_not({"exit": 4}) == (
        "the suite cannot be collected: not found: a.py::nope (no match in a.py)"
    )


def test_hearing_takes_in_what_it_knows() -> None:
    """A later version of the runner may say more."""
    here = collection()
    here.hear(found("x"))
    here.hear({"k": "skipped-file", "id": "s.py", "text": "no"})
    here.hear({"k": "something-new"})
    assert list(here.cases) == ["a.py::x"]
    assert here.skipped_files == {"s.py": "no"}


def test_what_is_not_asked_for_is_written_down_unless_it_is_very_much() -> None:
    """One test of a huge suite is to leave no megabytes of others' names."""
    here = collection(only=frozenset({"a.py::x"}))
    for name in "xy":
        here.item(found(name))
    here.deselect(["a.py::z"])
    assert here.unselected() == ["a.py::y", "a.py::z"]
    here.deselect([f"a.py::{number}" for number in range(MOST_UNSELECTED)])
    assert here.unselected() is None
    here.deselect([f"a.py::{number}" for number in range(MOST_UNSELECTED + 1)])
    assert (here.deselected, here.unselected()) == (None, None)
