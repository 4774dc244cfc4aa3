"""Files are loaded before the first case where that costs next to nothing, as plain pytest does."""

from __future__ import annotations

from pathlib import Path

import pytest
from dispatch_parts import attempt, cases_of, sends, worker
from runner_suites import Told, collect, run_batch, spec_of, write_suite

from proctor.infra.dispatching.batches import LoadAll, Rules
from proctor.infra.dispatching.dispatcher import Dispatcher
from proctor.infra.dispatching.durations import CaseHistory, Durations, GroupHistory
from proctor.infra.dispatching.loading import MOST_SECONDS
from proctor.infra.records import Case, Requirements
from proctor.infra.runners.runner import SessionRunner
from proctor.infra.simulation.campaign import simulate

# One file keeps a setting as it finds it when it is imported, another one's case changes it.
SUITE = {
    "setting.py": "VALUE = ['usual']\n",
    "test_a.py": "import setting\ndef test_changes(): setting.VALUE[0] = 'changed'\n",
    "test_b.py": """
        import setting
        FOUND = setting.VALUE[0]
        def test_finds(): assert FOUND == 'usual'
    """,
}
FILES = ("test_0.py", "test_1.py", "test_2.py")


def play(
    cases: list[Case],
    load_seconds: dict[str, float],
    case_seconds: float,
    when: LoadAll = LoadAll.AUTO,
) -> Dispatcher:
    durations = Durations(
        cases={case.id: CaseHistory(seconds=case_seconds) for case in cases},
        groups={file: GroupHistory(collect_seconds=each) for file, each in load_seconds.items()},
    )
    it = Dispatcher(rules=Rules(load_all=when), durations=durations)
    it.worker_joined(worker(slots=2))
    it.loading.whole_suite_is_known = True
    it.add_cases(cases, 0.0)
    return it


def test_each_session_loads_all_files_once_where_that_is_cheap() -> None:
    """In their order; the first batch says so, those after it do not."""
    it = play(cases_of(4, 4, 4), dict.fromkeys(FILES, 0.1), case_seconds=5.0)
    batches = sends(it.decide(0.0))
    assert [batch.ahead for batch in batches] == [FILES, FILES]
    first = batches[0]
    for case in first.cases:
        it.started(first.id, case, 1.0)
        it.finished(case, attempt(case, first))
    it.batch_ended(first.id)
    (second,) = sends(it.decide(2.0))
    assert second.ahead == ()


def test_files_are_loaded_in_turn_where_all_of_them_cost_much() -> None:
    """Beside what there is to do, or in seconds: the first case would wait for them."""
    cases = cases_of(4, 4, 4)
    short = play(cases, dict.fromkeys(FILES, 0.1), case_seconds=0.1)
    long = play(cases, dict.fromkeys(FILES, MOST_SECONDS / 2), case_seconds=500.0)
    unmeasured = play(cases, dict.fromkeys(FILES[:2], 0.1), case_seconds=5.0)
    for it in (short, long, unmeasured):
        assert [batch.ahead for batch in sends(it.decide(0.0))] == [(), ()]


def test_nothing_is_loaded_ahead_before_all_files_are_known() -> None:
    """They are to be imported in their order, and some may not have been found yet."""
    it = play(cases_of(4, 4, 4), dict.fromkeys(FILES, 0.1), case_seconds=5.0)
    it.loading.whole_suite_is_known = False
    assert {batch.ahead for batch in sends(it.decide(0.0))} == {()}


def test_somebody_may_have_all_files_loaded_whatever_that_costs_or_none() -> None:
    """Until all are known no case begins then: it would come before an import."""
    cases, dear = cases_of(4, 4, 4), dict.fromkeys(FILES, 50.0)
    always = play(cases, dear, case_seconds=0.1, when=LoadAll.ALWAYS)
    always.loading.whole_suite_is_known = False
    assert always.decide(0.0) == []
    always.loading.whole_suite_is_known = True
    assert [batch.ahead for batch in sends(always.decide(1.0))] == [FILES, FILES]
    never = play(cases, dict.fromkeys(FILES, 0.01), case_seconds=9.0, when=LoadAll.NEVER)
    assert [batch.ahead for batch in sends(never.decide(0.0))] == [(), ()]


def test_a_session_after_one_that_died_loads_them_anew() -> None:
    """But not if it died of that: it would be all that the slot ever does."""
    for died_of_a_case, ahead in ((True, FILES), (False, ())):
        it = play(cases_of(4, 4, 4), dict.fromkeys(FILES, 0.1), case_seconds=5.0)
        first, _ = sends(it.decide(0.0))
        assert first.ahead
        if died_of_a_case:
            it.started(first.id, first.cases[0], 0.5)
        it.batch_ended(first.id, died=True)
        assert sends(it.decide(1.0))[0].ahead == ahead


def test_what_only_another_worker_may_have_is_not_loaded() -> None:
    """A file of cases that want a GPU may not be importable where there is none."""
    needs = Requirements(tags=frozenset({"gpu"}))
    special = [Case(id="test_gpu.py::t", group="test_gpu.py", index=99, needs=needs)]
    costs = dict.fromkeys((*FILES, "test_gpu.py"), 0.1)
    it = play([*cases_of(4, 4, 4), *special], costs, case_seconds=5.0)
    assert [batch.ahead for batch in sends(it.decide(0.0))] == [FILES, FILES]


def test_a_module_is_imported_before_another_files_case_runs(tmp_path: Path) -> None:
    """What that case changes is not what the module finds; without it the suite fails here."""
    folder = write_suite(tmp_path, SUITE)
    for ahead, outcome in ((("test_a.py", "test_b.py"), "passed"), ((), "failed")):
        collector, runner = SessionRunner(spec_of(folder)), SessionRunner(spec_of(folder))
        told = Told()
        try:
            cases = collect(collector)
            run_batch(runner, cases[:1], told, ahead=ahead)
            run_batch(runner, cases[1:], told)
        finally:
            collector.close(0)
            runner.close(0)
        assert told.outcomes == {"test_changes": "passed", "test_finds": outcome}


def test_who_collects_a_suite_says_what_each_file_took(tmp_path: Path) -> None:
    """Also what its classes took, for the file; so it is known before any session loads one."""
    slow = """
        import time
        time.sleep(0.2)
        class TestIt:
            def test_it(self): pass
    """
    folder = write_suite(tmp_path, {"test_a.py": slow, "sub/test_b.py": "def test_it(): pass\n"})
    runner = SessionRunner(spec_of(folder))
    try:
        costs = dict(runner.collect(lambda message: None)["costs"])
    finally:
        runner.close(0)
    assert set(costs) == {"test_a.py", "sub/test_b.py"}
    assert costs["test_a.py"] >= 0.2 > costs["sub/test_b.py"] > 0


def test_a_plan_counts_what_is_loaded_ahead_once() -> None:
    """Each of two slots loads all; a file's fixtures are set up where its first case runs."""
    cases = cases_of(1, 1)
    histories = {file: GroupHistory(collect_seconds=1.0, shared_seconds=2.0) for file in FILES[:2]}
    durations = Durations(
        cases={case.id: CaseHistory(seconds=10.0) for case in cases}, groups=histories
    )

    def makespan(when: LoadAll) -> float:
        run = simulate(
            cases,
            [worker(slots=2)],
            seconds=lambda case: 10.0,
            durations=durations,
            rules=Rules(load_all=when),
            warm_up=durations.warm_up,
        )
        return run.makespan

    assert makespan(LoadAll.ALWAYS) - makespan(LoadAll.NEVER) == pytest.approx(1.0)
