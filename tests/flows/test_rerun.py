"""Where no checkout has both commits, a suspicion is held against the history by new runs."""

from __future__ import annotations

import random
import socket
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from timed_campaigns import write_timed

from proctor.flows.trending import confirm as confirming
from proctor.flows.trending.confirm import AS_IT_STANDS, Confirming, Result, confirm
from proctor.flows.trending.measure import NotMeasured
from proctor.flows.trending.rerun import Beside, run_again
from proctor.flows.trending.trend_run import look
from proctor.monitoring.ingest import ingest
from proctor.monitoring.store import Store
from proctor.monitoring.trends.journal import Known, find_known, record
from proctor.monitoring.trends.known_levels import Levels, Side
from proctor.monitoring.trends.measured_before import MeasuredBefore, NotToBeJudged, measured_before

CASE = "tests/test_press.py::test_press"
OTHERS = tuple(f"tests/test_press.py::test_other_{number}" for number in range(4))
CAMPAIGNS, SINCE = 20, 16
# Sleeps, and what a test takes beside them.
USUAL = {CASE: 0.1, **dict.fromkeys(OTHERS, 0.1)}
BEGAN, DAY = 1.7e9, 86_400.0


def quiet(text: str) -> None:
    """Nobody listens."""


def write_history(state: Path, *, slower: float = 2.0, others_slower: float = 1.0) -> None:
    """Twenty campaigns on one host; the case takes longer in the last four."""
    chance = random.Random(5)
    for number in range(CAMPAIGNS):
        late = {True: slower, False: others_slower} if number >= SINCE else {True: 1.0, False: 1.0}
        seconds = {
            case: usual * late[case == CASE] * chance.lognormvariate(0, 0.02)
            for case, usual in USUAL.items()
        }
        write_timed(
            state, f"old-{number:02d}", seconds, began=BEGAN + number * DAY,
            commit=f"{number:040x}", name="nightly", root="/press", project="press",
            command=("tests",), host=socket.gethostname(),
        )  # fmt: skip


def suspect(state: Path, *, status: str = "suspected", kind: str = "change") -> tuple[Store, Known]:
    """The store with the history and one finding in it."""
    store = Store(state)
    ingest(store)
    detail = {"commits": [f"{SINCE:040x}"], "before": 0.1, "after": 0.2, "worse": True}
    line = {
        "id": "feed01", "kind": kind, "status": status, "project": "press", "case": CASE,
        "metric": "seconds", "class": "cpu", "since": BEGAN + SINCE * DAY, "text": "slower",
        "detail": {**detail, "series": [[CASE, "seconds", "cpu"]]},
    }  # fmt: skip
    record(store, [line])
    return store, find_known(store, "feed")[1]


def known_levels(*, yardsticks: bool = True, noise: float = 0.02) -> MeasuredBefore:
    """A tenth more since the suspected shift."""
    chance = np.random.default_rng(2)
    return MeasuredBefore(
        case="t", worker_class="cpu",
        levels=Levels(
            before=chance.normal(0, noise, 20), after=chance.normal(0.1, noise, 4),
            beside_others=yardsticks,
        ),
        yardsticks=dict.fromkeys("abc", 0.0) if yardsticks else {},
        seconds=1.0, speeds={"here": 1.0}, worker="cpu:slots=1",
    )  # fmt: skip


class Machine:
    """Runs cases at a level, on a machine of some speed; counts the runs."""

    def __init__(self, level: float, *, slow: float = 1.0, worker_class: str = "cpu") -> None:
        self.chance = random.Random(8)
        self.level, self.slow, self.worker_class = level, slow, worker_class
        self.runs = 0

    def __call__(self) -> Beside:
        self.runs += 1
        took = {"t": self.level, "a": 1.0, "b": 1.0, "c": 1.0}
        return Beside(
            seconds={
                name: each * self.slow * self.chance.lognormvariate(0, 0.02)
                for name, each in took.items()
            },
            host="here",
            worker_class=self.worker_class,
        )


@pytest.mark.parametrize(("level", "side"), [(1.105, Side.AFTER), (1.0, Side.BEFORE)])
@pytest.mark.parametrize("slow", [1.0, 1.3])
def test_a_slow_machine_is_taken_off_by_the_cases_beside(level, side, slow):
    """A third slower than the history's, in everything: the answer is the same."""
    told = run_again(known_levels(), Machine(level, slow=slow), most=15, commit="c0ffee", say=quiet)
    assert told.sided.side is side
    assert told.runs <= 15


def test_without_cases_beside_a_slow_machine_leaves_it_undecided():
    """Rather than call the machine a regression."""
    machine = Machine(1.0, slow=1.5)
    told = run_again(known_levels(yardsticks=False), machine, most=15, commit="", say=quiet)
    assert told.sided.side is Side.NEITHER
    assert told.text.startswith("undecided by 4 runs")


def test_runs_end_at_the_most_that_was_asked_for():
    """A history too restless to decide by; the first run warms up and does not count."""
    machine = Machine(1.05)
    told = run_again(known_levels(noise=0.1), machine, most=6, commit="", say=quiet)
    assert (told.sided.side, told.runs, machine.runs) == (Side.OPEN, 6, 7)
    assert "undecided by 6 runs" in told.text


def test_runs_on_another_class_do_not_count():
    """Three of them end it, with both classes named."""
    machine = Machine(1.0, worker_class="highmem")
    with pytest.raises(NotMeasured, match="ran on class highmem, the finding is about cpu"):
        run_again(known_levels(), machine, most=15, commit="", say=quiet)


def test_levels_and_yardsticks_come_from_the_history(tmp_path):
    """The four cases beside it did not move."""
    write_history(tmp_path)
    store, known = suspect(tmp_path)
    found = measured_before(store, "press", known)
    assert found.levels.step == pytest.approx(np.log(2), abs=0.05)
    assert set(found.yardsticks) == set(OTHERS)
    assert (len(found.levels.before), len(found.levels.after)) == (SINCE, CAMPAIGNS - SINCE)
    assert found.worker == f"cpu:slots=1,memory={1 << 28}"


def test_yardsticks_that_moved_as_well_are_none(tmp_path):
    """What they share would hide the shift."""
    write_history(tmp_path, others_slower=1.9)
    store, known = suspect(tmp_path)
    assert measured_before(store, "press", known).yardsticks == {}


@pytest.mark.parametrize(
    ("given", "told"),
    [({"kind": "flaky"}, "is no shift"), ({"status": "recovered"}, "is over")],
)
def test_what_runs_cannot_decide_is_refused(tmp_path, given, told):
    """One sentence each."""
    write_history(tmp_path)
    store, known = suspect(tmp_path, **given)
    with pytest.raises(NotToBeJudged, match=told):
        measured_before(store, "press", known)


def test_a_suspicion_is_confirmed_in_a_folder_without_git(tmp_path, monkeypatch):
    """Real campaigns on a worker of the class; the code is as slow as the history's end."""
    write_history(tmp_path / "state", slower=3.0)
    store, known = suspect(tmp_path / "state")
    folder = tmp_path / "press"
    (folder / "tests").mkdir(parents=True)
    (folder / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")
    others = "".join(f"def test_other_{n}():\n    time.sleep(0.1)\n" for n in range(4))
    (folder / "tests" / "test_press.py").write_text(
        f"import time\ndef test_press():\n    time.sleep(0.3)\n{others}"
    )
    monkeypatch.setenv("PROCTOR_PYTHON", sys.executable)
    # Git looks upwards, where a repository may lie.
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    said: list[str] = []
    how = Confirming(directory=folder, most=20, deadline=time.monotonic() + 380, say=said.append)
    told = confirm(store, "press", known, how)
    assert (told.confirmed.result, told.confirmed.way) == (Result.CONFIRMED, AS_IT_STANDS)
    assert "not a git repository" in said[0]
    assert find_known(store, "feed01")[1].status == "confirmed"
    assert "confirmed by" in find_known(store, "feed01")[1].text


@pytest.mark.parametrize(
    ("level", "status", "news"),
    [
        (0.2, "confirmed", "confirmed"),
        (0.1, "dismissed", "refuted"),
        (0.5, "suspected", "undecided"),
    ],
)
def test_a_look_runs_suspects_again_before_it_tells(tmp_path, monkeypatch, level, status, news):
    """In the finding, the page and the news, and still there at the next look."""
    write_history(tmp_path)
    chance = random.Random(4)

    def again(known, **how):
        def run() -> Beside:
            took = {**USUAL, CASE: level}
            return Beside(
                seconds={
                    case: each * chance.lognormvariate(0, 0.02) for case, each in took.items()
                },
                host="elsewhere",
                worker_class="cpu",
            )

        return run_again(known, run, most=how["most"], commit="", say=how["say"])

    monkeypatch.setattr(confirming, "confirm_as_it_stands", again)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    how = Confirming(directory=tmp_path, most=15, deadline=time.monotonic() + 60, say=quiet)
    looked = look(tmp_path, confirming=how)
    (found,) = looked.report.findings
    word = "confirmed" if status == "confirmed" else news
    assert (found.status, [each.status for each in looked.news]) == (status, [news])
    assert f"; {word} by" in found.text
    assert f"; {word} by" in looked.page.read_text()
    again_looked = look(tmp_path)
    assert again_looked.news == ()
    (still,) = again_looked.report.findings
    # Places and levels may have been refined since.
    assert (still.id, still.status, still.remark) == (found.id, found.status, found.remark)
    assert still.text.endswith(found.remark)


def test_a_suspect_that_cannot_be_run_is_a_note(tmp_path, monkeypatch):
    """The rest of the report is told all the same."""
    write_history(tmp_path)

    def never(known, **how):
        raise NotMeasured("there is no case here")

    monkeypatch.setattr(confirming, "confirm_as_it_stands", never)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    how = Confirming(directory=tmp_path, most=15, deadline=time.monotonic() + 60, say=quiet)
    report = look(tmp_path, confirming=how).report
    assert [each.status for each in report.findings] == ["suspected"]
    assert "could not be run again: there is no case here" in report.notes[0]
