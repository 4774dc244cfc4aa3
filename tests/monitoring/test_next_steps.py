"""What is proposed after a campaign works for that run."""

from __future__ import annotations

from dataclasses import replace

import pytest
from digests import attempt, digest, news
from digests import left_out as missed

from proctor.infra.records import Requirements
from proctor.infra.wanted_workers import Mend
from proctor.monitoring.reports import next_steps as steps
from proctor.monitoring.reports.digest import Digest
from proctor.monitoring.reports.explain import explain
from proctor.monitoring.reports.next_steps import next_steps

LAB = Requirements(tags=frozenset({"lab"}))

# Of the campaign that is looked at, which need not be the newest.
EXPLAIN = "proctor explain a::y --campaign 20260101-120000-abcd"


def left_out(needs: Requirements, **fields: object) -> Digest:
    """One case ran; another had no worker."""
    made = digest(
        [attempt("a::x")],
        unmet={"a::y": [missed("a::y", at=6.0)]},
        news=(news("joined", at=0.5),),
        exit_code=6,
        **fields,
    )
    return replace(made, cases=(made.cases[0], replace(made.cases[1], needs=needs)))


def commands(found: Digest) -> list[str]:
    return [each.command for each in next_steps(found, " --state here")]


def test_a_fleet_of_its_own_comes_again_with_what_was_lacking() -> None:
    """The workers it had, and one that has it, in the state of that run."""
    (command,) = commands(left_out(LAB, mend=Mend.OWN))
    assert command == (
        "proctor resume 20260101-120000-abcd --fleet-class cpu:slots=2,memory=1GiB"
        " --fleet-class lab:slots=1 --state here"
    )


def test_a_fleet_that_is_up_gets_a_worker_more() -> None:
    """By the verb that keeps it; then the campaign goes on there."""
    assert commands(left_out(LAB, mend=Mend.KEPT)) == [
        "proctor up --class lab:slots=1 --state here",
        "proctor resume 20260101-120000-abcd --state here",
    ]


@pytest.mark.parametrize("mend", Mend)
@pytest.mark.parametrize("state", ["completed", "interrupted", "cancelled", "failed"])
def test_whoever_has_the_fleet_something_is_proposed(mend: Mend, state: str) -> None:
    """What it needs where nobody knows who adds it; and always how it goes on."""
    told = commands(left_out(LAB, mend=mend, state=state))
    resume = "proctor resume 20260101-120000-abcd"
    assert told[-1].startswith(resume)
    assert all(each.endswith(" --state here") for each in told)
    if mend in {Mend.NAMED, Mend.EITHER}:
        assert told == [f"{EXPLAIN} --state here", f"{resume} --state here"]


@pytest.mark.parametrize("mend", Mend)
def test_a_fleet_of_which_no_worker_came_is_explained(mend: Mend) -> None:
    """Nobody knows what it had; it goes on where there are some."""
    told = commands(replace(left_out(LAB, mend=mend), news=()))
    assert told[-1] == "proctor resume 20260101-120000-abcd --state here"
    assert (told[0] == f"{EXPLAIN} --state here") == (mend is not Mend.KEPT)


@pytest.mark.parametrize("mend", Mend)
def test_what_this_machine_has_not_is_not_proposed(
    mend: Mend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command that would be refused helps nobody."""
    monkeypatch.setattr(steps, "find_gpus", lambda: ())
    assert commands(left_out(Requirements(gpu=1.0), mend=mend)) == [
        f"{EXPLAIN} --state here",
        "proctor resume 20260101-120000-abcd --state here",
    ]


def test_what_failed_runs_again_where_it_ran() -> None:
    """With the fleet, the interpreter and the directory that were given."""
    again = ("--tasks", "my tasks.toml", "--fleet-class", "cpu=2")
    found = digest([attempt("a::x", "failed")], exit_code=1, again=again)
    assert commands(found)[1] == (
        "proctor run --tasks 'my tasks.toml' --fleet-class cpu=2 --lf --state here"
    )


def test_what_failed_runs_again_with_what_pytest_was_given() -> None:
    """Without --pyargs nothing would be found."""
    given = ("-k", "a or b", "--pyargs", "one")
    found = digest([attempt("a::x", "failed")], exit_code=1, for_pytest=given)
    assert commands(found)[1] == "proctor run --lf --state here -- -k 'a or b' --pyargs one"


def test_what_the_fleet_gave_up_goes_on() -> None:
    """A campaign whose workers were gone has results to come."""
    found = digest([attempt("a::x")], not_run=["a::y"], state="failed", exit_code=6)
    assert commands(found) == ["proctor resume 20260101-120000-abcd --state here"]


def test_explain_has_what_the_line_leaves_out() -> None:
    """What it asks for, what each class had, and what to type."""
    found = left_out(LAB, mend=Mend.KEPT)
    told = explain(found, found.cases[1], " --state here").sentences
    assert told[1] == (
        "It asks for cpu=1 and tags=lab, and of the classes there were cpu has cpu=2 and"
        " memory=1GiB."
    )
    assert "`proctor up --class lab:slots=1 --state here` adds such workers" in told[2]


@pytest.mark.parametrize("mend", [Mend.OWN, Mend.KEPT])
def test_explain_and_the_summary_propose_the_same(mend: Mend) -> None:
    """One would not know which to believe."""
    found = left_out(LAB, mend=mend)
    told = explain(found, found.cases[1], " --state here").sentences
    assert f"`{commands(found)[0]}`" in told[-1]
