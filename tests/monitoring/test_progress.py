"""How far a campaign that runs has come, for who asks from outside."""

from __future__ import annotations

from pathlib import Path

from digests import attempt
from ledgers import begin, write_cases

from proctor.infra.dispatching.state import Remaining
from proctor.infra.ledgers.ledger import Ledger
from proctor.infra.records import Requirements
from proctor.infra.scaling.demand import DEMAND_FILE, Demand, write_demand
from proctor.monitoring.reports.follow import Follower, progress_of, view_of

BEGAN = 1_800_000_000.0
NAMES = [f"a.py::test_{number}" for number in range(30)]


def a_running_one(state: Path, *, cases: int = 10, passed: int, failed: int = 0) -> Ledger:
    """A campaign that began at a time and has so many results; the caller closes it."""
    ledger = begin(state, "c1", clock=lambda: BEGAN)
    ledger.write("phase", phase="run")
    write_cases(ledger, NAMES[:cases])
    ledger.write("batch", batch="b1", worker="local-1", slot=0, cases=list(range(cases)))
    outcomes = ["passed"] * passed + ["failed"] * failed
    for name, outcome in zip(NAMES, outcomes, strict=False):
        ledger.attempt(attempt(name, outcome, epoch=ledger.epoch))
    ledger.commit()
    return ledger


def leaves(ledger: Ledger, seconds: float, *, epoch: int | None = None) -> None:
    """The campaign's own word of the work that is left."""
    left = Remaining(
        needs=Requirements(), work_seconds=seconds, waiting=7, running=1, longest_seconds=1.0
    )
    told = Demand(
        campaign="c1",
        epoch=ledger.epoch if epoch is None else epoch,
        at=BEGAN + 60,
        fleet="tcp://127.0.0.1:1",
        remaining=(left,),
    )
    write_demand(ledger.directory / DEMAND_FILE, told)


def test_a_look_from_outside_finds_what_the_view_would_show(tmp_path: Path) -> None:
    """Cases done and failed, since when, and the rest by the campaign's own prediction."""
    with a_running_one(tmp_path, passed=2, failed=1) as ledger:
        leaves(ledger, 35.0)

        at = progress_of(ledger.directory, wall_clock=lambda: BEGAN + 60, clock=lambda: 5.0)

    assert (at.done, at.total, at.failures) == (3, 10, 1)
    assert (at.elapsed_seconds, at.left_seconds) == (60.0, 35.0)
    assert at.plain()["counts"] == {"passed": 2, "failed": 1}


def test_a_long_journal_is_read_to_its_end(tmp_path: Path) -> None:
    """However many looks that takes."""
    names = [f"tests/test_{number}.py::test_{'x' * 500}" for number in range(4000)]
    with begin(tmp_path, "c1", clock=lambda: BEGAN) as ledger:
        write_cases(ledger, names)
        for name in names:
            ledger.attempt(attempt(name, epoch=ledger.epoch))
        ledger.commit()
        follower = Follower(ledger.directory, view_of(ledger.directory))
        assert follower.poll()
        assert follower.poll(), "one look is enough: the test needs a longer journal"

        at = progress_of(ledger.directory)

    assert (at.done, at.total) == (4000, 4000)


def test_without_a_prediction_the_pace_tells(tmp_path: Path) -> None:
    """From the campaign's beginning, not from when somebody began to look."""
    with a_running_one(tmp_path, cases=30, passed=10) as ledger:
        at = progress_of(ledger.directory, wall_clock=lambda: BEGAN + 60, clock=lambda: 5.0)

    assert (at.done, at.left_seconds) == (10, 120.0)


def test_another_writers_prediction_and_pace_say_nothing(tmp_path: Path) -> None:
    """A campaign that goes on after a pause is as fast as it is now."""
    first = a_running_one(tmp_path, passed=5)
    leaves(first, 35.0)
    first.abandon()
    ledger = begin(tmp_path, "c1", clock=lambda: BEGAN + 3600)
    ledger.commit()

    at = progress_of(ledger.directory, wall_clock=lambda: BEGAN + 3605, clock=lambda: 5.0)

    assert (at.done, at.elapsed_seconds, at.left_seconds) == (5, 5.0, None)
    ledger.close()


def test_a_failure_with_retries_left_is_none_yet(tmp_path: Path) -> None:
    """As in the view of who runs it: it will run again."""
    settings = {"rules": {"retries": 1, "maxfail": 0}}
    ledger = Ledger.open(
        tmp_path / "campaigns" / "c1", campaign="c1", settings=settings, clock=lambda: BEGAN
    )
    write_cases(ledger, NAMES[:2])
    ledger.attempt(attempt(NAMES[0], "failed"))
    ledger.commit()

    at = progress_of(ledger.directory)

    assert (at.done, at.total, at.failures) == (0, 2, 0)
    ledger.close()


def test_a_line_that_lacks_something_costs_the_look_nothing_else(tmp_path: Path) -> None:
    """Whoever reads the whole record is told of it."""
    with a_running_one(tmp_path, passed=2) as ledger:
        ledger.write("batch", batch="b2")
        ledger.attempt(attempt(NAMES[5], epoch=ledger.epoch))
        ledger.commit()
        follower = Follower(ledger.directory, view := view_of(ledger.directory))

        assert follower.poll()

    assert view.progress().done == 3
    assert len(follower.problems) == 1
