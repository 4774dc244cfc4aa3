"""Outcomes per case equal those of plain pytest: none missing, none extra."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from real_campaigns import PATIENCE_SECONDS, environment, type_in, write_project

SAMPLE = Path(__file__).parents[1] / "sample"
# What plain pytest found, by node id; the worst phase of a case decides.
RECORDER = """\
import json

RANKS = ["passed", "skipped", "xpassed", "xfailed", "failed", "error"]
FOUND = {}

def pytest_runtest_logreport(report):
    if hasattr(report, "wasxfail"):
        outcome = "xfailed" if report.skipped else "xpassed"
    elif report.failed and report.when != "call":
        outcome = "error"
    else:
        outcome = report.outcome
    if "SubtestReport" in type(report).__name__ or "SubTestReport" in type(report).__name__:
        # A subtest that failed makes its case fail; its own report counts for nothing else.
        outcome = "failed" if report.failed else "passed"
    known = FOUND.get(report.nodeid, "passed")
    FOUND[report.nodeid] = max(known, outcome, key=RANKS.index)

def pytest_collectreport(report):
    if report.skipped:
        FOUND[report.nodeid] = "skipped"

def pytest_sessionfinish(session):
    with open(session.config.getoption("--found"), "w") as file:
        json.dump(FOUND, file)

def pytest_addoption(parser):
    parser.addoption("--found")
"""
NASTY = {
    "pyproject.toml": """\
        [project]
        name = "nasty"
        [tool.pytest.ini_options]
        addopts = ["--doctest-modules"]
        asyncio_mode = "auto"
        asyncio_default_fixture_loop_scope = "function"
        """,
    "conftest.py": """\
        import pytest

        LOG = []

        @pytest.fixture(scope="session")
        def cellar():
            LOG.append("cellar")
            yield LOG

        @pytest.fixture(scope="module")
        def shelf(cellar, request):
            yield f"shelf of {request.module.__name__}"
        """,
    "barrels.py": '''\
        """Barrels.

        >>> 1 + 1
        2
        """

        def wrong():
            """
            >>> wrong()
            'right'
            """
            return "wrong"
        ''',
    "test_unittest.py": """\
        import unittest

        class Old(unittest.TestCase):
            @classmethod
            def setUpClass(cls):
                cls.made = 1

            def test_good(self):
                self.assertEqual(self.made, 1)

            def test_bad(self):
                self.assertEqual(self.made, 2)

            @unittest.skip("no")
            def test_skipped(self): ...

            @unittest.expectedFailure
            def test_expected(self):
                self.fail()

            def test_subtests(self):
                for n in range(4):
                    with self.subTest(n=n):
                        self.assertNotEqual(n, 2)

        class BrokenClass(unittest.TestCase):
            @classmethod
            def setUpClass(cls):
                raise RuntimeError("no class today")

            def test_never(self): ...
        """,
    "test_async.py": """\
        import asyncio
        import pytest

        @pytest.fixture
        async def cork():
            await asyncio.sleep(0)
            return "cork"

        async def test_awaits(cork):
            assert cork == "cork"

        async def test_awaits_in_vain():
            await asyncio.sleep(0)
            assert False
        """,
    "test_scopes.py": """\
        import pytest

        class TestClass:
            @pytest.fixture(scope="class", autouse=True)
            def bottles(self):
                self.__class__.count = 0
                yield
                assert self.count == 2

            def test_one(self, shelf, cellar):
                self.__class__.count += 1
                assert shelf == "shelf of test_scopes" and cellar == ["cellar"]

            def test_two(self, shelf):
                self.__class__.count += 1

        @pytest.fixture
        def bad_teardown():
            yield
            raise RuntimeError("spilt")

        def test_spills(bad_teardown): ...

        @pytest.fixture
        def bad_setup():
            raise RuntimeError("corked")

        def test_corked(bad_setup): ...
        """,
    "test_ids.py": """\
        import pytest

        @pytest.mark.parametrize(
            "text",
            ["", " ", "a::b", "a/b.py::c[d]", "ünï", "\\\\", "\\n", "[", "]", "-k", "a b", "\\udcff", b"\\xff"],
        )
        def test_text(text): ...

        @pytest.mark.parametrize("same", [1, 1, 1])
        def test_same(same): ...

        @pytest.mark.parametrize("none", [])
        def test_none(none): ...
        """,
    "test_marks.py": """\
        import pytest

        @pytest.mark.xfail
        def test_xfails():
            assert False

        @pytest.mark.xfail
        def test_xpasses(): ...

        @pytest.mark.xfail(strict=True)
        def test_xpasses_strictly(): ...

        @pytest.mark.xfail(run=False)
        def test_never_runs():
            raise SystemExit

        @pytest.mark.skipif("True", reason="no")
        def test_skipped(): ...

        def test_skips_itself():
            pytest.skip("now")

        def test_needs_what_is_not_there():
            pytest.importorskip("nothing_like_it")
        """,
    "test_gone.py": """\
        import pytest

        pytest.skip("not on this platform", allow_module_level=True)

        def test_never(): ...
        """,
    "sub/test_gone_too.py": 'import pytest\npytest.importorskip("nothing_like_it")\n',
    "sub/test_deep.py": "def test_deep(): ...\n\nclass TestA:\n    class TestB:\n        def test_c(self): ...\n",
}


def _plain(project: Path, tmp_path: Path) -> dict[str, str]:
    (tmp_path / "plugin").mkdir()
    (tmp_path / "plugin" / "parity_recorder.py").write_text(RECORDER)
    found = tmp_path / "found.json"
    subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "parity_recorder"),
            *("-p", "no:cacheprovider", "--found", str(found)),
        ],
        cwd=project,
        env=environment(PYTHONPATH=str(tmp_path / "plugin"), PYTHONDONTWRITEBYTECODE="1"),
        capture_output=True,
        timeout=PATIENCE_SECONDS,
    )
    return json.loads(found.read_text())


def _ours(project: Path, tmp_path: Path, *arguments: str) -> dict[str, str]:
    state = ("--state", str(tmp_path / "state"))
    done = type_in("run", *state, "--prefect", "off", *arguments, cwd=project)
    assert 'Traceback (most recent call last):\n  File "<frozen runpy>' not in done.stderr
    shown = type_in("show", "--json", *state, cwd=project)
    verdicts = json.loads(shown.stdout)["verdicts"]
    return {each["case"]: each["judgement"] for each in verdicts}


def test_the_generated_suite_agrees(tmp_path: Path) -> None:
    """unittest, doctests, coroutines, scopes, marks, odd ids and files that skip themselves."""
    pytest.importorskip("pytest_asyncio")
    project = write_project(tmp_path / "p", NASTY)
    (project / "executions.py").unlink()
    assert _ours(project, tmp_path, "-n", "2") == _plain(project, tmp_path)


def test_cases_that_a_hook_cuts_out_by_place_agree(tmp_path: Path) -> None:
    """Whoever runs a file leaves the same of it as whoever collected all, in every run."""
    cases = "import pytest\n@pytest.mark.parametrize('place', range(4))\ndef test_it(place): ...\n"
    cut = "def pytest_collection_modifyitems(items):\n    items[:] = items[::-3]\n"
    files = {f"test_{name}.py": cases for name in "abcd"}
    project = write_project(tmp_path / "p", {"conftest.py": cut, **files})
    (project / "executions.py").unlink()
    plain = _plain(project, tmp_path)
    assert len(plain) == 6
    assert _ours(project, tmp_path, "-n", "2") == plain
    assert _ours(project, tmp_path, "-n", "2") == plain


def test_the_sample_agrees(tmp_path: Path) -> None:
    """With requirements by marker and by pattern, on a fleet that meets them."""
    project = tmp_path / "sample"
    project.mkdir()
    for file in SAMPLE.rglob("*"):
        if file.suffix in (".py", ".toml"):
            place = project / file.relative_to(SAMPLE)
            place.parent.mkdir(exist_ok=True)
            place.write_text(file.read_text())
    fleet = ("cpu:slots=1", "highmem:slots=1", "gpu:slots=1,gpu=1,simulated")
    ours = _ours(project, tmp_path, *(f"--fleet-class={each}" for each in fleet))
    # Proctor ran it twice, so that the case that is flaky on purpose finds its mark gone again.
    (flaky,) = (case for case, verdict in ours.items() if verdict == "flaky")
    assert {**ours, flaky: "failed"} == _plain(project, tmp_path)
