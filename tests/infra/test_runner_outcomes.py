"""Every case ends as plain pytest says it does."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from runner_suites import (
    PYTHON,
    Told,
    run_suite,
    write_suite,
)

KINDS = """
    import unittest
    import warnings
    import pytest

    @pytest.fixture
    def broken_setup():
        raise ValueError("no water")

    @pytest.fixture
    def broken_teardown():
        yield
        raise ValueError("no drain")

    def test_passes(): pass

    def test_fails():
        print("to stdout")
        assert 1 == 2, "the reason"

    def test_setup_error(broken_setup): pass

    def test_teardown_error(broken_teardown): pass

    def test_fails_and_teardown_error(broken_teardown): assert 0, "first"

    def test_unknown_fixture(nowhere): pass

    def test_skips(): pytest.skip("not today")

    @pytest.mark.skip(reason="never")
    def test_marked_skip(): pass

    @pytest.mark.xfail(reason="known")
    def test_xfails(): assert 0

    @pytest.mark.xfail(reason="known")
    def test_xpasses(): pass

    @pytest.mark.xfail(strict=True, reason="surely")
    def test_xpasses_strict(): pass

    @pytest.mark.xfail(run=False)
    def test_xfail_not_run(): assert 0

    @pytest.mark.xfail(raises=KeyError)
    def test_xfail_wrong_error(): raise ValueError

    def test_system_exit(): raise SystemExit(2)

    def test_warns(): warnings.warn("careful", UserWarning)

    @pytest.mark.filterwarnings("error")
    def test_warning_is_error(): warnings.warn("careful", UserWarning)

    @pytest.mark.parametrize("value", [1, 2])
    def test_value(value): assert value == 1

    class TestUnit(unittest.TestCase):
        @classmethod
        def setUpClass(cls): cls.ready = True
        def test_good(self): self.assertTrue(self.ready)
        def test_bad(self): self.assertEqual(1, 2)
        def test_skip(self): self.skipTest("unit skip")
        @unittest.expectedFailure
        def test_expected(self): self.fail()
        @unittest.expectedFailure
        def test_unexpected(self): pass

    class TestBrokenClass(unittest.TestCase):
        @classmethod
        def setUpClass(cls): raise RuntimeError("class is broken")
        def test_one(self): pass
        def test_two(self): pass
"""

# Written by pytest itself: the category of every report that counts.
RECORDER = """
    import json
    seen = {}
    def pytest_runtest_logreport(report):
        import pytest
        rank = ["passed", "skipped", "xfailed", "xpassed", "error", "failed"]
        if hasattr(report, "context") or (report.when != "call" and report.passed):
            return
        if hasattr(report, "wasxfail"):
            kind = "xfailed" if report.skipped else "xpassed"
        elif report.failed:
            kind = "failed" if report.when == "call" else "error"
        else:
            kind = report.outcome
        old = seen.get(report.nodeid)
        if old is None or rank.index(kind) > rank.index(old):
            seen[report.nodeid] = kind
    def pytest_sessionfinish():
        with open("plain.json", "w") as file:
            json.dump(seen, file)
"""


def plain_outcomes(folder: Path, *arguments: str) -> dict[str, str]:
    """What pytest says without us."""
    (folder / "recorder.py").write_text(RECORDER.replace("\n    ", "\n"))
    subprocess.run(
        [PYTHON, "-m", "pytest", "-p", "recorder", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        capture_output=True,
        timeout=120,
    )
    return json.loads((folder / "plain.json").read_text())


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Told]:
    folder = write_suite(tmp_path_factory.mktemp("kinds"), {"test_kinds.py": KINDS})
    return folder, run_suite(folder)


def test_every_kind_of_outcome_is_pytests_own(kinds: tuple[Path, Told]) -> None:
    """All outcomes agree with those of plain pytest, case by case."""
    folder, told = kinds
    ours = {message["id"]: message["outcome"] for message in told.all("done")}
    assert ours == plain_outcomes(folder)


def test_each_case_is_told_once(kinds: tuple[Path, Told]) -> None:
    """A case starts once and is done once, in that order."""
    _, told = kinds
    story = [(m["k"], m["id"]) for m in told.messages if m["k"] in ("start", "done")]
    cases = [case for kind, case in story if kind == "done"]
    assert len(cases) == len(set(cases))
    assert story == [step for case in cases for step in (("start", case), ("done", case))]


def test_messages_name_the_reason_in_one_line(kinds: tuple[Path, Told]) -> None:
    """The line of a case says why it did not pass."""
    _, told = kinds
    messages = {name: message["message"] for name, message in told.done.items()}
    assert messages["test_fails"] == "AssertionError: the reason"
    assert messages["test_setup_error"] == "setup failed: ValueError: no water"
    assert messages["test_teardown_error"] == "teardown failed: ValueError: no drain"
    assert messages["test_skips"] == "not today"
    assert messages["test_xfails"] == "known"
    assert "surely" in messages["test_xpasses_strict"]
    assert "nowhere" in messages["test_unknown_fixture"]
    assert messages["test_passes"] == ""


def test_a_failure_whose_teardown_fails_too_keeps_both_texts(kinds: tuple[Path, Told]) -> None:
    """Pytest counts two; the one outcome is the failure, and the error is a note and a text."""
    _, told = kinds
    done = told.done["test_fails_and_teardown_error"]
    assert done["outcome"] == "failed"
    assert any("no drain" in note for note in done["notes"])
    assert [title for title, _ in done["text"]] == ["traceback", "traceback (teardown)"]


def test_captured_output_comes_with_the_case(kinds: tuple[Path, Told]) -> None:
    """What a test printed is in its record."""
    _, told = kinds
    assert told.text("test_fails", "stdout") == "to stdout\n"
    assert "the reason" in told.text("test_fails", "traceback")


def test_doctests_subtests_and_coroutines_run(tmp_path: Path) -> None:
    """Items that are no plain functions have outcomes like pytest's."""
    pytest.importorskip("pytest_asyncio")
    folder = write_suite(
        tmp_path,
        {
            "docs.rst": ">>> 1 + 1\n2\n\n",
            "bad.rst": ">>> 1 + 1\n3\n\n",
            "module.py": '''
                """
                >>> 2 * 2
                4
                """
                def test_not_collected(): assert 0
            ''',
            "test_async.py": """
                import asyncio
                import pytest

                @pytest.mark.asyncio
                async def test_waits(): await asyncio.sleep(0)

                @pytest.mark.asyncio
                async def test_fails(): assert await asyncio.sleep(0, 1) == 2
            """,
            "test_sub.py": """
                import unittest
                class TestSub(unittest.TestCase):
                    def test_some(self):
                        for number in range(3):
                            with self.subTest(number=number):
                                self.assertNotEqual(number, 1)
            """,
        },
    )
    arguments = ("--doctest-modules", "--doctest-glob=*.rst", ".")
    told = run_suite(folder, *arguments)
    ours = {message["id"]: message["outcome"] for message in told.all("done")}
    # A later subtest can hide an earlier failure in what unittest-style reports say; what counts
    # is that pytest fails the session.
    some = "test_sub.py::TestSub::test_some"
    assert ours.pop(some) == "failed"
    (why,) = [message["message"] for message in told.all("done") if message["id"] == some]
    assert why == "subtest number=1: AssertionError: 1 == 1"
    plain = plain_outcomes(folder, *arguments)
    plain.pop(some)
    assert ours == plain
    assert "module.py::test_not_collected" not in ours
