"""How many workers there should be, decided without any."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from proctor.infra.scaling.demand import ClassDemand
from proctor.infra.scaling.policy import Course, Crew, ScalingRules, Verdict, size_of
from proctor.infra.worker_classes import WorkerClass

RULES = ScalingRules(horizon_seconds=60, headroom=0.0, ahead=True)
CPU = WorkerClass(name="cpu", slots=1, idle_seconds=30)
NOBODY = Crew(wanted=0)
NOTHING = ClassDemand()


def work(seconds: float, *, cases: int = 1000, longest: float = 1.0) -> ClassDemand:
    return ClassDemand(worker_seconds=seconds, useful=cases, longest_seconds=longest, waiting=cases)


def decide(
    demand: ClassDemand,
    crew: Crew = NOBODY,
    course: Course | None = None,
    *,
    worker_class: WorkerClass = CPU,
    rules: ScalingRules = RULES,
    boot: float = 0.0,
    now: float = 1000.0,
    expected: float = 0.0,
) -> Verdict:
    return size_of(
        worker_class,
        demand,
        crew,
        course or Course(),
        rules=rules,
        boot_seconds=boot,
        now=now,
        expected_workers=expected,
    )


def test_so_many_as_do_the_work_within_the_horizon() -> None:
    """Those that are there work while new ones boot."""
    assert decide(work(600)).size == 10
    assert decide(work(600), boot=30).size == 10
    assert decide(work(600), Crew(wanted=5, running=5, busy=5), boot=30).size == 8
    assert decide(work(600), Crew(wanted=5, running=5, busy=5), boot=60).size == 5
    assert decide(NOTHING).size == 0


def test_a_long_case_need_only_have_begun() -> None:
    """As much work in cases of a minute takes half as many as in ones of a moment."""
    assert decide(work(6000, cases=100_000)).size == 100
    assert decide(work(6000, cases=100, longest=60)).size == 50
    # Two of a minute each begin within the minute on one worker: the second at its end.
    assert decide(work(120, cases=2, longest=60)).size == 1
    assert decide(work(140, cases=2, longest=70)).size == 2


def test_headroom_is_added() -> None:
    """Predictions are not that good."""
    assert decide(work(600), rules=replace(RULES, headroom=0.2)).size == 12


def test_no_more_workers_than_cases() -> None:
    """The others would have nothing to run."""
    assert decide(work(6000, cases=3)).size == 3


def test_what_a_long_case_does_alone_needs_no_other_worker() -> None:
    """Its end beyond the horizon cannot be shared out."""
    assert decide(work(1200, longest=660)).size == 10
    assert decide(work(600, cases=1, longest=600)).size == 1


def test_those_that_start_count() -> None:
    """Nothing is launched twice for the same work."""
    crew = Crew(wanted=10, starting=(1.0,) * 10)
    assert decide(work(610), crew, boot=2).size == 10
    unseen = Crew(wanted=10)
    assert decide(work(600), unseen, boot=2).size == 10


def test_the_class_bounds_it() -> None:
    """And the reason says what would have been."""
    few = replace(CPU, minimum=2, maximum=4)
    verdict = decide(work(600), worker_class=few)
    assert verdict.size == 4
    assert "10 would be, and 4 is the most" in verdict.reason
    lowest = decide(NOTHING, worker_class=few)
    assert lowest.size == 2
    assert "at least 2" in lowest.reason


def test_only_those_that_idled_long_enough_go() -> None:
    """And no more than can be spared."""
    crew = Crew(wanted=5, running=5, busy=2, idle=(40.0, 31.0, 5.0))
    verdict = decide(NOTHING, crew)
    assert verdict.size == 3
    assert "2 workers idled for 30 s" in verdict.reason
    assert decide(work(300), crew).size == 5
    assert decide(NOTHING, replace(crew, idle=(5.0, 5.0, 5.0))).size == 5


def test_a_busy_worker_stays_whatever_the_class_says() -> None:
    """A lower maximum waits until there are idle ones."""
    crew = Crew(wanted=5, running=5, busy=4, idle=(1.0,))
    lower = replace(CPU, maximum=2)
    assert decide(work(100), crew, worker_class=lower).size == 4


def test_it_keeps_its_direction_for_a_while() -> None:
    """Which way it went and when it turned decide, not when it last changed."""
    idle = Crew(wanted=3, running=3, idle=(90.0,) * 3)
    grown = Course(direction=1, turned_at=990.0, changed_at=990.0)
    held = decide(NOTHING, idle, grown)
    assert held.size == 3
    assert "held" in held.reason
    assert held.course == grown
    assert decide(NOTHING, idle, grown, now=1006.0).size == 0
    shrunk = Course(direction=-1, turned_at=990.0, changed_at=990.0)
    assert decide(work(600), replace(idle, wanted=3), shrunk).size == 3
    assert decide(work(600), idle, shrunk, now=1006.0).size == 10
    # Growing on is no turn.
    assert decide(work(600), idle, grown).size == 10


def test_work_does_not_wait_for_a_fleet_that_has_just_become_empty() -> None:
    """Nobody is there to do any of it; what comes then stays for the window."""
    emptied = Course(direction=-1, turned_at=995.0, changed_at=999.0)
    grown = decide(work(600), NOBODY, emptied)
    assert grown.size == 10
    there = Crew(wanted=10, running=10, idle=(40.0,) * 10)
    assert decide(NOTHING, there, grown.course, now=1014.0).size == 10
    assert decide(NOTHING, there, grown.course, now=1016.0).size == 0
    # A forecast has nobody waiting: it keeps to the window.
    assert decide(NOTHING, NOBODY, emptied, expected=3.0).size == 0


def test_a_clock_that_is_put_back_holds_nothing() -> None:
    """A turn in the future is no reason to keep work waiting until it has come, nor workers."""
    shrank = Course(direction=-1, turned_at=5000, changed_at=5000)
    assert decide(work(600), course=shrank, now=1000).size == 10
    grew = Course(direction=1, turned_at=5000, changed_at=5000)
    idle = Crew(wanted=3, running=3, idle=(60.0, 60.0, 60.0))
    assert decide(NOTHING, idle, grew, now=1000).size == 0


def test_expected_work_has_its_workers_ready() -> None:
    """Where that is asked for; what is there already counts the same, and no part of one."""
    assert decide(NOTHING, expected=3.4).size == 3
    assert decide(NOTHING, expected=0.9).size == 0
    assert "forecast" in decide(NOTHING, expected=3.4).reason
    assert decide(NOTHING, expected=3.4, rules=replace(RULES, ahead=False)).size == 0
    waiting = Crew(wanted=4, running=4, idle=(90.0,) * 4)
    assert decide(NOTHING, waiting, expected=3.4).size == 3


demands = st.builds(
    ClassDemand,
    worker_seconds=st.floats(0, 1e5),
    useful=st.floats(0.1, 1e4),
    longest_seconds=st.floats(0, 1e3),
    waiting=st.integers(1, 1000),
) | st.just(NOTHING)
classes = st.builds(
    lambda low, more, ttl: WorkerClass(
        name="c", slots=1, minimum=low, maximum=low + more, idle_seconds=ttl
    ),
    st.integers(0, 5),
    st.integers(0, 50),
    st.floats(0, 100),
)


@st.composite
def crews(draw: st.DrawFn) -> Crew:
    running, starting, unseen = (draw(st.integers(0, 20)) for _ in range(3))
    busy = draw(st.integers(0, running))
    return Crew(
        wanted=running + starting + unseen,
        running=running,
        busy=busy,
        starting=tuple(draw(st.floats(0, 60)) for _ in range(starting)),
        idle=tuple(draw(st.floats(0, 200)) for _ in range(running - busy)),
    )


courses = st.builds(
    Course,
    direction=st.sampled_from([-1, 0, 1]),
    # Earlier than the decision, which is made at 1,000.
    turned_at=st.none() | st.floats(900, 999),
    changed_at=st.none() | st.floats(900, 999),
)


@settings(max_examples=400, deadline=None)
@given(demand=demands, crew=crews(), course=courses, worker_class=classes, boot=st.floats(0, 90))
def test_whatever_there_is_bounds_hold(
    demand: ClassDemand, crew: Crew, course: Course, worker_class: WorkerClass, boot: float
) -> None:
    """It grows to no more than the most, shrinks to no less than the busy ones and the least."""
    assert worker_class.maximum is not None
    verdict = decide(demand, crew, course, worker_class=worker_class, boot=boot)
    if verdict.size > crew.wanted:
        assert verdict.size <= worker_class.maximum
    if verdict.size < crew.wanted:
        assert verdict.size >= max(crew.busy, worker_class.minimum)
        assert crew.wanted - verdict.size <= crew.wanted - crew.busy - len(crew.starting)
    assert verdict.reason
    assert (verdict.course == course) == (verdict.size == crew.wanted)


@settings(max_examples=400, deadline=None)
@given(
    demand=demands,
    more=st.floats(0, 1e5),
    crew=crews(),
    course=courses,
    worker_class=classes,
    boot=st.floats(0, 90),
)
def test_more_work_never_means_fewer_workers(
    demand: ClassDemand,
    more: float,
    crew: Crew,
    course: Course,
    worker_class: WorkerClass,
    boot: float,
) -> None:
    """All else being equal."""
    bigger = replace(demand, worker_seconds=demand.worker_seconds + more)
    small = decide(demand, crew, course, worker_class=worker_class, boot=boot)
    large = decide(bigger, crew, course, worker_class=worker_class, boot=boot)
    assert large.size >= small.size


@settings(max_examples=150, deadline=None)
@given(
    loads=st.lists(st.tuples(st.floats(0, 2000), st.floats(0.5, 20)), min_size=5, max_size=60),
    window=st.floats(1, 60),
)
def test_no_turn_is_closer_to_the_one_before_than_the_window(
    loads: list[tuple[float, float]], window: float
) -> None:
    """However the demand jumps, but for work that nobody is there to do.

    All workers come at once and are idle when nothing is left.
    """
    rules = ScalingRules(
        horizon_seconds=20, stabilisation_seconds=window, cooldown_seconds=0, idle_seconds=0
    )
    now, size, course = 0.0, 0, Course()
    # When, by how much, and from how many.
    moves: list[tuple[float, int, int]] = []
    for seconds, pause in loads:
        now += pause
        demand = work(seconds) if seconds > 200 else NOTHING
        busy = size if demand.cases else 0
        crew = Crew(wanted=size, running=size, busy=busy, idle=(1.0,) * (size - busy))
        verdict = decide(demand, crew, course, rules=rules, now=now)
        if verdict.size != size:
            moves.append((now, verdict.size - size, size))
        size, course = verdict.size, verdict.course
    turns = [
        (when, there)
        for (_, before, _), (when, step, there) in pairwise(moves)
        if before * step < 0
    ]
    assert all(
        later - earlier >= window for (earlier, _), (later, there) in pairwise(turns) if there
    )
    # So no two times of growing are closer either: nothing goes back and forth.
    grown = [when for (when, step, there) in moves if step > 0 and not there]
    assert all(later - earlier >= window for earlier, later in pairwise(grown[1:]))
