"""Files are loaded before the first case where that costs next to nothing, as plain pytest does."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from dispatch_parts import attempt, cases_of, dispatcher, sends, worker
from runner_suites import Told, collect, run_batch, spec_of, write_suite

from proctor.infra.dispatching.batches import NO_FILES, LoadAll, Rules
from proctor.infra.dispatching.dispatcher import Dispatcher
from proctor.infra.dispatching.durations import CaseHistory, Durations, GroupHistory
from proctor.infra.dispatching.loading import MOST_SECONDS
from proctor.infra.records import Case, Requirements
from proctor.infra.runners.runner import SessionRunner
from proctor.infra.session.running import BEFORE_ALL_FILES
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
    assert [batch.files.ahead for batch in batches] == [FILES, FILES]
    first = batches[0]
    for case in first.cases:
        it.started(first.id, case, 1.0)
        it.finished(case, attempt(case, first))
    it.batch_ended(first.id)
    (second,) = sends(it.decide(2.0))
    assert second.files.ahead == ()


def test_files_are_loaded_in_turn_where_all_of_them_cost_much() -> None:
    """The first case would wait for them; also where nobody has measured one of them."""
    cases = cases_of(4, 4, 4)
    dear = play(cases, dict.fromkeys(FILES, MOST_SECONDS / 2), case_seconds=500.0)
    unmeasured = play(cases, dict.fromkeys(FILES[:2], 0.1), case_seconds=5.0)
    for it in (dear, unmeasured):
        assert [batch.files.ahead for batch in sends(it.decide(0.0))] == [(), ()]


def test_nothing_is_loaded_ahead_before_all_files_are_known() -> None:
    """They are to be imported in their order, and some may not have been found yet."""
    it = play(cases_of(4, 4, 4), dict.fromkeys(FILES, 0.1), case_seconds=5.0)
    it.loading.whole_suite_is_known = False
    assert {batch.files.ahead for batch in sends(it.decide(0.0))} == {()}


def test_somebody_may_have_all_files_loaded_whatever_that_costs_or_none() -> None:
    """Until all are known no case begins then: it would come before an import."""
    cases, dear = cases_of(4, 4, 4), dict.fromkeys(FILES, 50.0)
    always = play(cases, dear, case_seconds=0.1, when=LoadAll.ALWAYS)
    always.loading.whole_suite_is_known = False
    assert always.decide(0.0) == []
    always.loading.whole_suite_is_known = True
    assert [batch.files.ahead for batch in sends(always.decide(1.0))] == [FILES, FILES]
    never = play(cases, dict.fromkeys(FILES, 0.01), case_seconds=9.0, when=LoadAll.NEVER)
    assert [batch.files.ahead for batch in sends(never.decide(0.0))] == [(), ()]


def test_cases_wait_a_moment_for_a_suite_that_is_being_collected() -> None:
    """Most are known by then, and are loaded ahead; for one that takes long nobody waits."""
    cases = cases_of(4, 4, 4)
    it = dispatcher(worker(slots=2))
    it.loading.patience_seconds = 0.5
    it.add_cases(cases[:4], 10.0)
    assert it.decide(10.4) == []
    assert sends(it.decide(10.5))
    soon = dispatcher(worker(slots=2))
    soon.loading.patience_seconds = 0.5
    soon.add_cases(cases, 10.0)
    soon.loading.whole_suite_is_known = True
    assert sends(soon.decide(10.1))


def test_a_batch_that_came_back_unbegun_has_told_its_session_nothing() -> None:
    """It wanted memory, or its session did not start; the next one brings the files again."""
    it = play(cases_of(4, 4, 4), dict.fromkeys(FILES, 0.1), case_seconds=5.0)
    first, _ = sends(it.decide(0.0))
    it.batch_ended(first.id)
    assert [batch.files.ahead for batch in sends(it.decide(1.0))] == [FILES]


def test_a_session_after_one_that_died_loads_them_anew() -> None:
    """But not if it died of that: it would be all that the slot ever does."""
    for died_of_a_case, ahead in ((True, FILES), (False, ())):
        it = play(cases_of(4, 4, 4), dict.fromkeys(FILES, 0.1), case_seconds=5.0)
        first, _ = sends(it.decide(0.0))
        assert first.files.ahead
        if died_of_a_case:
            it.started(first.id, first.cases[0], 0.5)
        it.batch_ended(first.id, died=True)
        assert sends(it.decide(1.0))[0].files.ahead == ahead


def test_what_only_another_worker_may_have_is_not_loaded() -> None:
    """A file of cases that want a GPU may not be importable where there is none."""
    needs = Requirements(tags=frozenset({"gpu"}))
    special = [Case(id="test_gpu.py::t", group="test_gpu.py", index=99, needs=needs)]
    costs = dict.fromkeys((*FILES, "test_gpu.py"), 0.1)
    it = play([*cases_of(4, 4, 4), *special], costs, case_seconds=5.0)
    assert [batch.files.ahead for batch in sends(it.decide(0.0))] == [FILES, FILES]


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
        end = time.process_time() + 0.2
        while time.process_time() < end: pass
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


# One file uses what another one imports, in a case or when it is imported itself.
LEANING = {
    "pack/__init__.py": "",
    "pack/part.py": "VALUE = 1\n",
    "test_a.py": "import pack.part\ndef test_imports(): pass\n",
    "test_b.py": """
        import pack
        import pytest

        @pytest.fixture(scope="module")
        def value(request):
            return pack.part.VALUE

        def test_uses(record_property):
            record_property("tries", 1)
            print("here")
            assert pack.part.VALUE == 1

        def test_uses_by_fixture(value): pass

        def test_fails(): assert {}["no such key"]
    """,
    "test_c.py": "import pack\nVALUE = pack.part.VALUE\ndef test_used_at_import(): pass\n",
}


def run_alone(tmp_path: Path, files: dict[str, str], name: str, **options) -> Told:
    """A session that is to run one file's cases, and is told of the others."""
    folder = write_suite(tmp_path, files)
    collector, runner = SessionRunner(spec_of(folder)), SessionRunner(spec_of(folder))
    told = Told()
    try:
        cases = [case for case in collect(collector) if case[1] == name]
        run_batch(runner, cases, told, **options)
    finally:
        collector.close(0)
        runner.close(0)
    return told


def test_a_case_that_leans_on_an_import_runs_again_with_all_files_imported(tmp_path: Path) -> None:
    """It passes as in plain pytest, and says why; it has begun once, for all who look on."""
    told = run_alone(tmp_path, LEANING, "test_b.py", beside=("test_a.py", "test_b.py"))
    assert told.outcomes == {
        "test_uses": "passed",
        "test_uses_by_fixture": "passed",
        "test_fails": "failed",
    }
    first, *others = told.all("done")
    assert [note for note in first["notes"] if BEFORE_ALL_FILES in note]
    assert "AttributeError" in first["notes"][0]
    assert not any(each["notes"] for each in others)
    # Nothing of the first try is left: its output, its properties.
    assert [text for kind, text in first["text"] if kind == "stdout"] == ["here\n"]
    assert first["props"] == [["tries", 1]]
    assert [each["id"] for each in told.all("start")] == [each["id"] for each in told.all("done")]


def test_the_other_files_are_loaded_for_it_though_its_batch_is_to_end(tmp_path: Path) -> None:
    """Another slot wants the rest: the case that runs is no other for that."""
    stop = threading.Event()
    stop.set()
    told = run_alone(tmp_path, LEANING, "test_b.py", beside=("test_a.py", "test_b.py"), stop=stop)
    assert told.outcomes["test_uses"] == "passed"


def test_a_case_fails_as_it_did_where_all_files_change_nothing(tmp_path: Path) -> None:
    """It runs once if no module came that it speaks of: a failure is not tried until it passes."""
    files = {
        "test_a.py": "import json.tool\ndef test_fine(): pass\n",
        "test_b.py": """
            RUNS = []
            def test_fails():
                RUNS.append(1)
                raise AttributeError(f"no {RUNS}")
        """,
    }
    told = run_alone(tmp_path, files, "test_b.py", beside=("test_a.py", "test_b.py"))
    (done,) = told.all("done")
    assert (done["outcome"], done["notes"]) == ("failed", [])
    assert done["message"] == "AttributeError: no [1]"


def test_what_fails_again_is_told_as_it_was_first(tmp_path: Path) -> None:
    """What the first try left behind makes the second fail in another way, or ends the process."""
    for ending in ("assert len(RUNS) == 5", "os._exit(3)"):
        files = {
            **LEANING,
            "test_b.py": f"""
                import os
                import pack
                RUNS = []
                def test_fails():
                    RUNS.append(1)
                    assert len(RUNS) > 1 or pack.part.VALUE == 1
                    {ending}
                def test_next(): pass
            """,
        }
        folder = tmp_path / ending[:2]
        told = run_alone(folder, files, "test_b.py", beside=("test_a.py", "test_b.py"))
        done = told.all("done")[0]
        assert (done["outcome"], done["notes"]) == ("failed", [])
        assert "AttributeError" in done["message"]
        assert told.ends[0].culprit is None
        assert len(told.all("done")) + len(told.ends[0].left) == 2


def test_a_case_runs_once_while_fixtures_of_its_file_stand(tmp_path: Path) -> None:
    """They would be taken down, and what cases before it have made of them would be gone."""
    files = {
        **LEANING,
        "test_b.py": """
            import pack
            import pytest

            @pytest.fixture(scope="module")
            def made(): return []

            def test_makes(made): made.append(1)
            def test_misses(made): assert pack.part.VALUE == 1
            def test_needs(made): assert made == [1]
        """,
    }
    told = run_alone(tmp_path, files, "test_b.py", beside=("test_a.py", "test_b.py"))
    assert told.outcomes == {
        "test_makes": "passed",
        "test_misses": "failed",
        "test_needs": "passed",
    }


def test_a_file_that_misses_an_import_is_loaded_again(tmp_path: Path) -> None:
    """It can be imported where another file was imported before it, as in plain pytest."""
    told = run_alone(tmp_path, LEANING, "test_c.py", beside=("test_a.py", "test_c.py"))
    assert told.outcomes == {"test_used_at_import": "passed"}
    alone = run_alone(tmp_path / "other", LEANING, "test_c.py")
    assert alone.outcomes == {"test_used_at_import": "error"}


def test_who_dies_while_the_other_files_are_loaded_is_not_its_case(tmp_path: Path) -> None:
    """The file was fine when it was collected; the case failed before, and is told so."""
    files = {
        **LEANING,
        "test_z.py": """
            import os, sys
            if "pack" in sys.modules and "pack.part" not in sys.modules:
                os._exit(3)
        """,
    }
    told = run_alone(tmp_path, files, "test_b.py", beside=("test_z.py", "test_b.py"))
    assert told.outcomes == {"test_uses": "failed"}
    (end,) = told.ends
    assert end.runner_died
    assert end.culprit is None
    assert [case.rpartition("::")[2] for case in end.left] == ["test_uses_by_fixture", "test_fails"]


def test_sessions_are_told_of_all_files_once_where_these_are_not_loaded_ahead() -> None:
    it = play(cases_of(4, 4, 4), dict.fromkeys(FILES, 50.0), case_seconds=5.0)
    batches = sends(it.decide(0.0))
    assert [batch.files.beside for batch in batches] == [FILES, FILES]
    first = batches[0]
    it.started(first.id, first.cases[0], 1.0)
    it.finished(first.cases[0], attempt(first.cases[0], first))
    it.batch_ended(first.id)
    (second,) = sends(it.decide(2.0))
    assert second.files == NO_FILES
