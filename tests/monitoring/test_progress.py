"""How far a campaign that runs has come, for who asks from outside."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from digests import attempt
from ledgers import begin, write_cases

from proctor.infra.dispatching.state import Remaining
from proctor.infra.ledgers.epochs import ledger_path
from proctor.infra.ledgers.ledger import Ledger, list_campaigns
from proctor.infra.records import Requirements
from proctor.infra.scaling.demand import DEMAND_FILE, Demand, Reached, write_demand
from proctor.monitoring.reports.follow import Follower, view_of
from proctor.monitoring.reports.how_far import progress_of
from proctor.monitoring.reports.progress import Progress
from proctor.monitoring.reports.terminal import Terminal

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


def leaves(
    ledger: Ledger, seconds: float, *, epoch: int | None = None, reached: Reached | None = None
) -> None:
    """The campaign's own word of the work that is left, and of how far it has come."""
    left = Remaining(
        needs=Requirements(), work_seconds=seconds, waiting=7, running=1, longest_seconds=1.0
    )
    told = Demand(
        campaign="c1",
        epoch=ledger.epoch if epoch is None else epoch,
        at=BEGAN + 60,
        fleet="tcp://127.0.0.1:1",
        remaining=(left,),
        reached=reached,
    )
    write_demand(ledger.directory / DEMAND_FILE, told)


def seen(ledger: Ledger, now: float = BEGAN) -> Progress:
    """What is seen from outside, however long that takes."""
    at = progress_of(ledger.directory, wall_clock=lambda: now, clock=lambda: 5.0, most=1 << 40)
    assert at is not None
    return at


def test_a_look_from_outside_finds_what_the_view_would_show(tmp_path: Path) -> None:
    """Cases done and failed, since when, and the rest by the campaign's own prediction."""
    with a_running_one(tmp_path, passed=2, failed=1) as ledger:
        leaves(ledger, 35.0)

        at = seen(ledger, BEGAN + 60)

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

        at = seen(ledger)

    assert (at.done, at.total) == (4000, 4000)


def test_what_was_done_before_the_last_word_is_no_part_of_it(tmp_path: Path) -> None:
    """Whoever joins late takes in a long journal in pieces, and shows what the campaign says."""
    names = [f"tests/test_{number}.py::test_{'x' * 500}" for number in range(6000)]
    with begin(tmp_path, "c1", clock=lambda: BEGAN) as ledger:
        ledger.write("phase", phase="run")
        write_cases(ledger, names)
        for name in names[:4000]:
            ledger.attempt(attempt(name, epoch=ledger.epoch))
        ledger.commit()
        leaves(ledger, 3500.0)
        view = view_of(ledger.directory, wall_clock=lambda: BEGAN + 60, clock=lambda: 5.0)
        follower = Follower(ledger.directory, view)
        polls = 0
        while follower.poll():
            polls += 1
        assert polls > 1, "one look is enough: the test needs a longer journal"
        assert view.progress().left_seconds == 3500.0

        # From here on what is done counts until the campaign's next word.
        ledger.attempt(attempt(names[4000], epoch=ledger.epoch, seconds=500.0))
        ledger.commit()
        while follower.poll():
            pass
        assert not follower.poll()

    assert view.progress().left_seconds == 3000.0


def test_the_campaigns_own_word_needs_no_journal(tmp_path: Path) -> None:
    """However long that is: one small file is read."""
    with a_running_one(tmp_path, passed=2) as ledger:
        counts = {"passed": 70, "failed": 2, "flaky": 1}
        leaves(ledger, 40.0, reached=Reached(phase="run", total=100, counts=counts, slots=4))

        at = progress_of(ledger.directory, wall_clock=lambda: BEGAN + 90, most=0)

    assert at == Progress(
        phase="run",
        done=73,
        total=100,
        counts=counts,
        elapsed_seconds=90.0,
        left_seconds=10.0,
    )


@pytest.mark.parametrize(("phase", "total"), [("collect", 100), ("run", 73)])
def test_nobody_knows_what_is_left_of_a_suite_that_is_being_found(
    tmp_path: Path, phase: str, total: int
) -> None:
    """Nor is anything left where all is done."""
    with a_running_one(tmp_path, passed=2) as ledger:
        reached = Reached(phase=phase, total=total, counts={"passed": 73}, slots=4)
        leaves(ledger, 40.0, reached=reached)

        at = progress_of(ledger.directory, most=0)

    assert at is not None
    assert (at.done, at.total, at.left_seconds) == (73, total, None)


def test_a_long_journal_whose_writer_has_said_nothing_is_left_alone(tmp_path: Path) -> None:
    """It would cost what runs beside; another writer's word is none."""
    with a_running_one(tmp_path, passed=2) as ledger:
        length = sum(path.stat().st_size for path in ledger.directory.glob("ledger-*.jsonl"))
        leaves(ledger, 40.0, epoch=ledger.epoch + 1, reached=Reached(phase="run", total=9))

        assert progress_of(ledger.directory, most=length - 1) is None
        at = progress_of(ledger.directory, most=length)

    assert at is not None
    assert at.done == 2


def test_without_a_prediction_the_pace_tells(tmp_path: Path) -> None:
    """From the campaign's beginning, not from when somebody began to look."""
    with a_running_one(tmp_path, cases=30, passed=10) as ledger:
        at = seen(ledger, BEGAN + 60)

    assert (at.done, at.left_seconds) == (10, 120.0)


def test_another_writers_prediction_and_pace_say_nothing(tmp_path: Path) -> None:
    """A campaign that goes on after a pause is as fast as it is now."""
    first = a_running_one(tmp_path, passed=5)
    leaves(first, 35.0)
    first.abandon()
    ledger = begin(tmp_path, "c1", clock=lambda: BEGAN + 3600)
    ledger.commit()

    at = seen(ledger, BEGAN + 3605)

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

    at = seen(ledger)

    assert (at.done, at.total, at.failures) == (0, 2, 0)
    ledger.close()


def test_a_case_that_its_workers_lost_too_often_is_done(tmp_path: Path) -> None:
    """By the rules that its campaign has: nobody runs it again."""
    settings = {"rules": {"infra_retries": 1}}
    ledger = Ledger.open(
        tmp_path / "campaigns" / "c1", campaign="c1", settings=settings, clock=lambda: BEGAN
    )
    write_cases(ledger, NAMES[:2])
    done: list[int] = []
    for _ in range(2):
        ledger.attempt(attempt(NAMES[0], "infra-lost"))
        ledger.commit()
        done.append(seen(ledger).done)

    assert done == [0, 1]
    ledger.close()


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("batch", {"batch": "b2"}),
        ("case", {"id": "a.py::lacking"}),
        ("case", {"id": ["a"], "group": "a.py", "index": 5}),
        ("attempt", {"case": NAMES[6], "id": "x"}),
        ("attempt", {"case": NAMES[6], "id": "x", "outcome": "passed", "started": 10**400}),
        ("worker", {"event": ["lost"]}),
        ("batch", {"batch": "b2", "worker": ["w"], "slot": {}, "cases": [7]}),
    ],
)
def test_a_line_that_lacks_something_costs_the_look_nothing_else(
    tmp_path: Path, kind: str, fields: dict[str, Any]
) -> None:
    """That some lack is said once; whoever reads the whole record is told of each."""
    with a_running_one(tmp_path, passed=2) as ledger:
        for _ in range(2):
            ledger.write(kind, **fields)
        ledger.attempt(attempt(NAMES[5], epoch=ledger.epoch))
        ledger.commit()
        text = io.StringIO()
        follower = Follower(ledger.directory, view := view_of(ledger.directory, Terminal(text)))

        assert follower.poll()
        view.tick()

    assert view.progress().done == 3
    assert text.getvalue().count("the journal is damaged") == 1


@pytest.mark.parametrize(
    "settings", [[], "x", {"rules": []}, {"rules": {"retries": "x", "maxfail": None}}]
)
def test_settings_of_another_shape_hide_no_campaign(tmp_path: Path, settings: Any) -> None:
    """As another version may write them."""
    with a_running_one(tmp_path, passed=0, failed=1) as ledger:
        path = ledger_path(ledger.directory, ledger.epoch)
        first, *others = path.read_text().splitlines()
        told = {**json.loads(first), "settings": settings}
        path.write_text("\n".join([json.dumps(told), *others, ""]))

        assert seen(ledger).done == 1
        assert [each.state for each in list_campaigns(tmp_path, clock=lambda: BEGAN)] == ["running"]
