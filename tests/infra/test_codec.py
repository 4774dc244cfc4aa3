"""Cases, attempts and workers survive the way through a journal's line."""

from __future__ import annotations

from dataclasses import replace
from math import inf, nan

import pytest
from hypothesis import given
from ledger_parts import attempt, attempts, case, cases, workers

from proctor.infra.codec import (
    attempt_from_json,
    attempt_to_json,
    case_from_json,
    case_to_json,
    facts_from_json,
    facts_to_json,
)
from proctor.infra.errors import LedgerDamaged
from proctor.infra.ledgers.journal import decode, encode
from proctor.infra.records import Attempt, Case, TaskSpec, Usage, WorkerFacts


def through_a_line(data: dict) -> dict:
    return decode(encode({"k": "any", "t": 0, **data}))


@given(cases)
def test_a_case_comes_back_as_it_was(given_case: Case):
    """Whatever its id, requirements and task hold."""
    assert case_from_json(through_a_line(case_to_json(given_case))) == given_case


@given(attempts)
def test_an_attempt_comes_back_as_it_was(given_attempt: Attempt):
    """Whatever it printed and measured, a GPU that did nothing included."""
    assert attempt_from_json(through_a_line(attempt_to_json(given_attempt))) == given_attempt


@given(workers)
def test_a_worker_comes_back_as_it_was(facts: WorkerFacts):
    """Its facts travel as plain JSON."""
    assert facts_from_json(through_a_line(facts_to_json(facts))) == facts


def test_what_equals_its_default_is_not_written():
    """A plain case and a plain attempt are short lines."""
    assert set(case_to_json(case())) == {"id", "group", "index"}
    assert set(attempt_to_json(attempt())) == {"case", "id", "outcome", "started", "finished"}


def test_numbers_that_json_lacks_are_kept_as_words():
    """record_property("speed", nan) must not make the line unreadable, nor be lost."""
    odd = attempt(properties=(("a", nan), ("b", -inf), ("c", 1.5)))
    back = attempt_from_json(through_a_line(attempt_to_json(odd)))
    assert back.properties == (("a", "nan"), ("b", "-inf"), ("c", 1.5))


def test_an_idle_gpu_is_told_from_none():
    """0 % utilisation and "there is no GPU" differ."""
    idle = attempt(usage=Usage(gpu_utilisation=0.0, gpu_memory_bytes=0))
    assert attempt_from_json(attempt_to_json(idle)).usage == idle.usage


def test_keys_of_a_later_version_are_passed_over():
    """An older Proctor reads what a newer one wrote."""
    assert case_from_json({**case_to_json(case()), "colour": "red"}) == case()


@pytest.mark.parametrize("key", ["case", "id", "outcome", "started", "finished"])
def test_a_missing_key_is_named(key: str):
    """Nothing is made up for an attempt that lacks what it must have."""
    data = attempt_to_json(attempt())
    del data[key]
    with pytest.raises(LedgerDamaged, match=f"lacks or misstates '{key}'"):
        attempt_from_json(data)


@pytest.mark.parametrize(
    "change",
    [
        {"outcome": "excellent"},
        {"usage": [1]},
        {"output": [1, 2]},
        {"worker": 7},
        {"properties": [["alone"]]},
    ],
)
def test_values_that_make_no_sense_are_damage(change: dict):
    """The reader never sees another error than LedgerDamaged."""
    with pytest.raises(LedgerDamaged):
        attempt_from_json({**attempt_to_json(attempt()), **change})


HUGE = 10**400


@pytest.mark.parametrize("change", [{"started": HUGE}, {"finished": HUGE}], ids=["start", "end"])
def test_a_time_beyond_all_numbers_is_damage(change: dict):
    """No float holds it."""
    with pytest.raises(LedgerDamaged, match="cannot be understood"):
        attempt_from_json({**attempt_to_json(attempt()), **change})


def test_a_place_beyond_all_numbers_is_damage():
    """JSON with a number of 400 digits and a point is read as infinite."""
    with pytest.raises(LedgerDamaged, match="cannot be understood"):
        case_from_json({**case_to_json(case()), "index": inf})


@pytest.mark.parametrize(
    "data",
    [{"finished": HUGE}, {"usage": {"wall": -HUGE}}, {"output": [1, HUGE, 1]}],
    ids=["alone", "in an object", "in a list"],
)
def test_a_line_with_a_number_that_nobody_can_reckon_with_is_damage(data: dict):
    """Wherever it stands: all that is done with it later would fail."""
    with pytest.raises(LedgerDamaged, match="too large"):
        through_a_line(data)


def test_a_task_may_be_given_any_number():
    """It is a person's, and nothing is reckoned from it."""
    given_case = replace(case(), task=TaskSpec(callable="sums:add", arguments={"n": HUGE}))
    assert case_from_json(through_a_line(case_to_json(given_case))) == given_case
