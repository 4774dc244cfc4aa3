"""What a campaign is asked to do, on a real fleet: stop, retry, mute, isolate, place, select."""

from __future__ import annotations

from pathlib import Path

import pytest
from real_campaigns import attempts_of, executions, judgements, run, write_project

from proctor.infra.errors import CollectionProblem, Unsatisfiable
from proctor.monitoring.reports.compare import compare

MIXED = {
    "test_mixed.py": """\
        import pytest
        from executions import ran

        def test_good():
            ran("good")

        def test_bad():
            ran("bad")
            assert 1 == 2

        @pytest.fixture
        def broken():
            raise RuntimeError("no fixture today")

        def test_error(broken): ...

        @pytest.mark.skip(reason="not now")
        def test_skipped(): ...

        @pytest.mark.xfail
        def test_xfailed():
            assert False
        """
}


def test_every_outcome_gets_its_verdict_and_the_exit_code_is_pytests(
    tmp_path: Path, state: Path, fleet: str
) -> None:
    """Passed, failed, error, skipped and xfailed are told apart, and failures exit with 1."""
    conducted = run(write_project(tmp_path / "p", MIXED), state, fleet=fleet)
    told = {case.partition("::")[2]: verdict for case, verdict in judgements(conducted).items()}
    assert told == {
        "test_good": "passed",
        "test_bad": "failed",
        "test_error": "error",
        "test_skipped": "skipped",
        "test_xfailed": "xfailed",
    }
    assert conducted.exit_code == 1
    assert all(path.stat().st_size > 0 for path in conducted.reports)


def test_broken_files_fail_alone_when_asked_to(tmp_path: Path, state: Path, fleet: str) -> None:
    """--continue-on-collection-errors: the rest runs, each broken file is an error, each time."""
    files = {
        "test_good.py": "from executions import ran\ndef test_it(): ran('good')\n",
        "test_broken.py": "import no_such_module\ndef test_never(): ...\n",
    }
    # In a place of its own: cases run while the rest is collected, perhaps until after its end.
    with pytest.raises(CollectionProblem, match="no_such_module"):
        run(write_project(tmp_path / "one" / "p", files), state, fleet=fleet)
    project = write_project(tmp_path / "two" / "p", files)
    for times in (1, 2):
        conducted = run(
            project, state, fleet=fleet, pytest_args=("--continue-on-collection-errors",)
        )
        assert conducted.exit_code == 1
        assert judgements(conducted) == {
            "test_good.py::test_it": "passed",
            "test_broken.py": "error",
        }
        assert executions(project)["good"] == times
    (attempt,) = conducted.record.attempts["test_broken.py"]
    assert "No module named 'no_such_module'" in attempt.message


def test_last_failed_and_failed_first(tmp_path: Path, state: Path, fleet: str) -> None:
    """--lf runs what failed, keeps it on the list, and runs all once it is mended; --ff orders."""
    project = write_project(tmp_path / "p", MIXED)
    run(project, state, fleet=fleet)
    again = run(project, state, fleet=fleet, last_failed=True)
    assert set(judgements(again)) == {"test_mixed.py::test_bad", "test_mixed.py::test_error"}
    first = run(project, state, fleet=fleet, failed_first=True)
    assert first.record is not None
    names = {case.index: case.id for case in first.record.cases.values()}
    sent = [[names[index] for index in batch.cases] for batch in first.record.batches]
    assert sorted(sent[:2]) == [["test_mixed.py::test_bad"], ["test_mixed.py::test_error"]]
    text = (project / "test_mixed.py").read_text()
    mended = text.replace("1 == 2", "1 == 1").replace("raise RuntimeError", "str")
    (project / "test_mixed.py").write_text(mended)
    assert run(project, state, fleet=fleet, last_failed=True).counts == {"passed": 2}
    assert sum(run(project, state, fleet=fleet, last_failed=True).counts.values()) == 5


def test_what_is_deselected_needs_nothing(tmp_path: Path, state: Path, fleet: str) -> None:
    """A case that no worker can run is told of when it is selected, and only then."""
    project = write_project(
        tmp_path / "p",
        {
            "test_needy.py": """\
            import pytest

            def test_plain(): ...

            @pytest.mark.resources(tags=["nowhere"])
            def test_elsewhere(): ...
            """
        },
    )
    chosen = run(project, state, fleet=fleet, keyword="plain")
    assert judgements(chosen) == {"test_needy.py::test_plain": "passed"}
    both = run(project, state, fleet=fleet)
    assert (both.exit_code, both.counts) == (6, {"passed": 1, "not-run": 1})
    with pytest.raises(Unsatisfiable, match="nowhere"):
        run(project, state, fleet=fleet, keyword="elsewhere")


def test_what_a_run_was_not_asked_for_is_not_gone(tmp_path: Path, state: Path, fleet: str) -> None:
    """--lf, -k and a path leave cases out, found anew or remembered; one that is gone is gone."""
    text = "def test_good(): ...\ndef test_bad(): raise RuntimeError\n"
    files = {"one/test_a.py": text, "two/test_b.py": text}
    project = write_project(tmp_path / "p", {**files, "pytest.ini": "[pytest]\n"})
    bad, good, there, gone = (
        "one/test_a.py::test_bad",
        "one/test_a.py::test_good",
        {"two/test_b.py::test_bad", "two/test_b.py::test_good"},
        "two/test_b.py::test_gone",
    )
    (project / "two/test_b.py").write_text(f"{text}def test_gone(): ...\n")
    before = run(project, state, fleet=fleet).digest
    (project / "two/test_b.py").write_text(text)
    passed = {good, "two/test_b.py::test_good"}
    for paths, asked, removed, unselected in (
        ((), {"keyword": "bad and test_a"}, {gone}, {good, *there}),
        ((), {"keyword": "bad and test_a"}, {gone}, {good, *there}),
        (("one",), {}, set[str](), {gone, *there}),
        (("two",), {}, {gone}, {bad, good}),
        ((), {"last_failed": True}, {gone}, passed),
        ((), {"last_failed": True}, {gone}, passed),
        ((), {}, {gone}, set[str]()),
    ):
        after = run(project, state, *paths, fleet=fleet, **asked).digest
        assert before is not None
        assert after is not None
        found = compare(before, after)
        assert (set(found.removed), set(found.unselected_after)) == (removed, unselected), (
            paths,
            asked,
        )


def test_what_failed_and_was_not_reached_again_stays_failed(
    tmp_path: Path, state: Path, fleet: str
) -> None:
    """--lf after a run that -x ended early holds all that has not passed since."""
    text = "import time\ndef test_it():\n    time.sleep(0.2)\n    assert False\n"
    project = write_project(tmp_path / "p", {f"test_{n}.py": text for n in range(12)})
    assert run(project, state, fleet=fleet).counts == {"failed": 12}
    assert run(project, state, fleet=fleet, maxfail=1).counts["not-run"] > 0
    assert run(project, state, fleet=fleet, last_failed=True).counts == {"failed": 12}


def test_flaky_broken_and_muted(tmp_path: Path, state: Path, fleet: str) -> None:
    """Retries tell flaky from broken; a muted failure is reported and does not count."""
    project = write_project(
        tmp_path / "p",
        {
            "test_retry.py": """\
            from executions import ran
            from pathlib import Path

            def test_flaky():
                mark = Path(__file__).with_name("mark")
                if not mark.exists():
                    mark.touch()
                    assert False, "cold"

            def test_broken():
                ran("broken")
                assert False

            def test_muted():
                assert False
            """
        },
    )
    conducted = run(project, state, fleet=fleet, retries=2, mute=("*::test_muted",))
    told = {case.partition("::")[2]: verdict for case, verdict in judgements(conducted).items()}
    assert told == {"test_flaky": "flaky", "test_broken": "failed", "test_muted": "muted"}
    assert attempts_of(conducted, "test_retry.py::test_flaky") == ["failed", "passed"]
    assert executions(project) == {"broken": 3}
    assert conducted.exit_code == 1
    (project / "mark").unlink()
    only_flaky = {"retries": 1, "mute": ("*::test_muted", "*::test_broken"), "fleet": fleet}
    assert run(project, state, **only_flaky, fail_on_flaky=True).exit_code == 7
    assert run(project, state, **only_flaky).exit_code == 0


def test_maxfail_stops_early(tmp_path: Path, state: Path, fleet: str) -> None:
    """After N failed cases nothing more is sent; the rest is told as not run."""
    body = "\n".join(f"def test_{n}():\n    ran('t{n}')\n    assert False\n" for n in range(120))
    project = write_project(
        tmp_path / "p", {"test_fails.py": "from executions import ran\n" + body}
    )
    conducted = run(project, state, fleet=fleet, maxfail=3)
    assert conducted.exit_code == 1
    assert conducted.counts["failed"] >= 3
    assert conducted.counts["not-run"] > 0
    assert sum(conducted.counts.values()) == 120
    assert executions(project).total() == conducted.counts["failed"]


def test_isolated_cases_share_no_state(tmp_path: Path, state: Path, fleet: str) -> None:
    """With --isolate a module's global is as it was after import, for each case."""
    project = write_project(
        tmp_path / "p",
        {
            "test_apart.py": """\
            import pytest

            SEEN = []

            @pytest.mark.parametrize("n", range(6))
            def test_alone(n):
                assert not SEEN
                SEEN.append(n)
            """
        },
    )
    assert run(project, state, fleet=fleet, isolate=True).counts == {"passed": 6}
    assert run(project, state, fleet=fleet).counts["failed"] > 0


def test_cases_run_where_their_needs_are_met(tmp_path: Path, state: Path, fleet: str) -> None:
    """Markers and patterns decide on the worker; the rest runs anywhere."""
    project = write_project(
        tmp_path / "p",
        {
            "pyproject.toml": """\
            [project]
            name = "needs"
            [tool.pytest.ini_options]
            markers = ["resources(cpu, memory, gpu, tags): needs"]
            [[tool.proctor.requirements]]
            match = "test_big.py"
            tags = ["cpu"]
            """,
            "test_big.py": "def test_big(): ...",
            "test_gpu.py": """\
            import pytest

            @pytest.mark.resources(gpu=1)
            @pytest.mark.parametrize("n", range(3))
            def test_shader(n): ...
            """,
            "test_plain.py": "def test_plain(): ...",
        },
    )
    conducted = run(project, state, fleet=fleet)
    assert conducted.counts == {"passed": 5}
    assert conducted.record is not None
    where = {case: several[0].worker for case, several in conducted.record.attempts.items()}
    assert where.pop("test_big.py::test_big") == "cpu-1"
    del where["test_plain.py::test_plain"]
    assert set(where.values()) == {"gpu-2"}


def test_needs_that_nobody_meets_end_the_campaign_at_once(
    tmp_path: Path, state: Path, fleet: str
) -> None:
    """The nearest miss is named, and nothing of the file has run."""
    project = write_project(
        tmp_path / "p",
        {
            "pyproject.toml": """\
            [project]
            name = "needs"
            [tool.pytest.ini_options]
            markers = ["resources(cpu, memory, gpu, tags): needs"]
            """,
            "test_gpu.py": """\
            import pytest
            from executions import ran

            @pytest.mark.resources(gpu=2)
            def test_two():
                ran("two")
            """,
        },
    )
    with pytest.raises(Unsatisfiable, match=r"needs gpu=2, the largest worker has gpu=1"):
        run(project, state, fleet=fleet)
    assert not executions(project)


def test_muted_patterns_mute_known_inventories_too(tmp_path: Path, state: Path, fleet: str) -> None:
    """A campaign from the cached inventory mutes as the first one did."""
    project = write_project(tmp_path / "p", {"test_a.py": "def test_a():\n    assert False\n"})
    assert run(project, state, fleet=fleet, mute=("*",)).exit_code == 0
    assert run(project, state, fleet=fleet, mute=("*",)).counts == {"muted": 1}
