"""Two campaigns compared: changes are told, chance and a slower machine are not."""

from __future__ import annotations

import random

from digests import attempt, digest
from hypothesis import given
from hypothesis import strategies as st

from proctor.infra.records import Judgement
from proctor.monitoring.reports.compare import compare, drifts
from proctor.monitoring.reports.selection import Selection


def test_changes_are_sorted_by_what_they_mean() -> None:
    """Each case stands under what happened to it, and only there."""
    before = digest(
        [
            attempt("a::breaks"),
            attempt("a::mends", "failed"),
            attempt("a::stays", "failed"),
            attempt("a::same"),
            attempt("a::gone"),
            attempt("a::wobbles"),
            attempt("a::half_mended", "failed"),
        ],
        campaign="first",
    )
    after = digest(
        [
            attempt("a::breaks", "crashed", message="killed by SIGSEGV"),
            attempt("a::mends"),
            attempt("a::stays", "error"),
            attempt("a::same"),
            attempt("a::new"),
            attempt("a::newly_bad", "failed"),
            attempt("a::wobbles", "failed"),
            attempt("a::wobbles"),
            attempt("a::half_mended", "failed"),
            attempt("a::half_mended"),
        ],
        campaign="second",
    )

    found = compare(before, after)

    assert [c.case for c in found.newly_failing] == ["a::breaks", "a::newly_bad"]
    assert found.newly_failing[0].message == "killed by SIGSEGV"
    assert [c.case for c in found.fixed] == ["a::mends"]
    assert [(c.case, c.after) for c in found.still_failing] == [("a::stays", Judgement.ERROR)]
    assert [c.case for c in found.flaky] == ["a::wobbles", "a::half_mended"]
    assert found.added == ("a::new", "a::newly_bad")
    assert found.removed == ("a::gone",)


def test_what_was_not_asked_for_is_neither_gone_nor_new() -> None:
    """It is counted apart, whichever of the two campaigns was asked for less."""
    whole = digest([attempt("a::x", "failed"), attempt("a::y", "failed"), attempt("a::z")])
    less = digest(
        [attempt("a::x")], selection=Selection(narrowed=True, unselected=frozenset({"a::y"}))
    )

    found = compare(whole, less)

    assert (found.removed, found.unselected_after) == (("a::z",), ("a::y",))
    assert [c.case for c in found.fixed] == ["a::x"]

    again = compare(less, whole)

    assert (again.added, again.unselected_before) == (("a::z",), ("a::y",))
    told = {c.case: (c.before, c.selected) for c in again.newly_failing}
    assert told == {"a::x": (Judgement.PASSED, True), "a::y": (None, False)}


def test_skipping_a_failing_case_does_not_mend_it() -> None:
    """A case that is skipped now, or muted, is not called fixed."""
    before = digest([attempt("a::x", "failed"), attempt("a::y", "failed")])
    after = digest(
        [attempt("a::x", "skipped"), attempt("a::y", "failed")],
        muted={"a::y"},
    )

    assert compare(before, after).fixed == ()


def test_one_slower_case_stands_out_on_a_slower_machine() -> None:
    """When all cases take half as long again, only the one that takes thrice as long is named."""
    chance = random.Random(1)
    before = {f"a::{n}": chance.uniform(0.2, 2.0) for n in range(60)}
    after = {case: seconds * 1.5 * chance.gauss(1, 0.05) for case, seconds in before.items()}
    after["a::7"] = before["a::7"] * 4.5

    factor, found = drifts(before, after)

    assert [d.case for d in found] == ["a::7"]
    assert 1.4 < factor < 1.6
    assert 2.6 < found[0].factor < 3.4


def test_short_cases_are_jitter() -> None:
    """Ten times a millisecond is nothing."""
    before = {f"a::{n}": 0.001 for n in range(50)}

    assert drifts(before, dict.fromkeys(before, 0.01))[1] == []


def test_few_cases_need_a_clear_change() -> None:
    """With too few cases to know the noise, only doubling counts."""
    before = {"a::x": 1.0, "a::y": 1.0}

    found = drifts(before, {"a::x": 1.8, "a::y": 2.2})[1]

    assert [d.case for d in found] == ["a::y"]


@given(
    st.dictionaries(st.integers(0, 99).map(str), st.floats(0, 1e4), min_size=1),
    st.floats(0.01, 100),
)
def test_a_common_factor_is_no_drift(seconds: dict[str, float], factor: float) -> None:
    """However much slower a machine is, with enough cases no single one is blamed for it."""
    many = {f"{case}{n}": 1.0 + value for case, value in seconds.items() for n in range(8)}

    assert drifts(many, {case: value * factor for case, value in many.items()})[1] == []


def test_of_itself_nothing_changed() -> None:
    """A campaign compared with itself has no changes."""
    facts = digest([attempt("a::x", "failed"), attempt("a::y"), attempt("a::z", "skipped")])

    found = compare(facts, facts)

    assert not any((found.newly_failing, found.fixed, found.added, found.removed, found.slower))
