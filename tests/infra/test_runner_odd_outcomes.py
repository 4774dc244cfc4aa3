"""Odd cases end as plain pytest says too: odd ids, texts, files that skip or break, and reports."""

from __future__ import annotations

import json
from pathlib import Path

from runner_suites import (
    Told,
    collect,
    run_batch,
    run_suite,
    spec_of,
    write_suite,
)

from proctor.infra.runners.runner import SessionRunner


def test_ids_of_any_content_are_found_again(tmp_path: Path) -> None:
    """Brackets, spaces, colons, newlines and foreign letters survive the way there and back."""
    values = ["a b", "a::b", "[x]", "x]", "ü", "\n", "\x1b[0m", "'\"", "../..", "", "😀", "%s"]
    folder = write_suite(
        tmp_path / "a folder",
        {
            "sub dir/test_ids.py": f"""
                import pytest
                @pytest.mark.parametrize("value", {values!r})
                def test_value(value): pass
                @pytest.mark.parametrize("value", {{"x", "y", "z"}})
                def test_of_a_set(value): pass
            """,
            "test_[odd].py": "def test_in_odd_file(): pass",
        },
    )
    told = run_suite(folder)
    assert len(told.all("done")) == len(values) + 4
    assert {message["outcome"] for message in told.all("done")} == {"passed"}
    assert not told.all("missing")


def test_unescaped_ids_are_found_again(tmp_path: Path) -> None:
    """With pytest's escaping switched off, ids hold the letters themselves, lone surrogates too."""
    folder = write_suite(
        tmp_path,
        {
            "test_ids.py": r"""
                import pytest
                @pytest.mark.parametrize("value", ["ü", "a\nb", "\udc80"])
                def test_value(value): print("\udc80 printed"[1:])
            """
        },
    )
    (folder / "pytest.ini").write_text(
        "[pytest]\ndisable_test_id_escaping_and_forfeit_all_rights_to_community_support = true\n"
    )
    told = run_suite(folder)
    assert [message["outcome"] for message in told.all("done")] == ["passed"] * 3
    # Whoever gets these messages may encode them strictly.
    json.dumps(told.messages, ensure_ascii=False).encode()


def test_texts_are_drawn_as_pytest_draws_them(tmp_path: Path) -> None:
    """Indented from the first line; of a Ctrl-C only the case's own frames; a doctest's reason."""
    folder = write_suite(
        tmp_path,
        {
            "test_drawn.py": """
                import pytest

                @pytest.mark.timeout(5)
                def test_drawn():
                    assert 1 == 2

                def test_interrupts():
                    raise KeyboardInterrupt

                def adds():
                    \'\'\'
                    >>> 1 + 1
                    3
                    \'\'\'
            """,
            "pytest.ini": "[pytest]\naddopts = --strict-markers -p no:timeout\n",
        },
    )
    told = run_suite(folder, "--doctest-modules", "test_drawn.py")
    drawn, interrupts, adds = (
        next(done for case, done in told.done.items() if case.endswith(name))
        for name in ("test_drawn", "test_interrupts", "adds")
    )
    assert dict(drawn["text"])["traceback"].splitlines()[0] == "    @pytest.mark.timeout(5)"
    frames = dict(interrupts["text"])["traceback"]
    assert "raise KeyboardInterrupt" in frames
    assert "pluggy" not in frames
    assert len(frames.splitlines()) < 10
    assert adds["message"] == "doctest: expected 3, got 2"


def test_warnings_come_with_the_case_that_met_them(tmp_path: Path) -> None:
    """Each place once a session, with where and what; those of a module to the campaign."""
    folder = write_suite(
        tmp_path,
        {
            "test_warned.py": """
                import warnings
                warnings.warn("old module", DeprecationWarning, stacklevel=1)

                def warn():
                    warnings.warn("careful\\nnow", UserWarning, stacklevel=1)

                def test_one(): warn()
                def test_two(): warn()
            """
        },
    )
    told = run_suite(folder, "test_warned.py")
    assert told.done["test_one"]["notes"] == ["warning: test_warned.py:6: UserWarning: careful"]
    assert told.done["test_two"]["notes"] == []
    # From the session that collects and from the one that runs.
    assert {each["text"] for each in told.all("warning")} == {
        "warning: test_warned.py:3: DeprecationWarning: old module"
    }


def test_a_module_that_skips_itself_and_one_that_breaks(tmp_path: Path) -> None:
    """Both are told apart while collecting, and the rest is still found."""
    folder = write_suite(
        tmp_path,
        {
            "test_skipped.py": "import pytest; pytest.importorskip('no_such_module')",
            "test_broken.py": "def oops(:",
            "test_fine.py": "def test_ok(): pass",
        },
    )
    told = Told()
    runner = SessionRunner(spec_of(folder))
    try:
        collected = runner.collect(told.messages.append)
    finally:
        runner.close()
    assert collected["ids"] == ["test_fine.py::test_ok"]
    assert (collected["errors"], collected["exit"]) == (1, 2)
    [skipped] = told.all("skipped-file")
    assert skipped["id"] == "test_skipped.py"
    assert "no_such_module" in skipped["text"]
    [error] = told.all("collect-error")
    assert error["file"] == "test_broken.py"
    assert "SyntaxError" in error["text"]


def test_markers_come_with_the_items(tmp_path: Path) -> None:
    """Markers and those of their arguments that JSON can carry are reported."""
    folder = write_suite(
        tmp_path,
        {
            "test_marks.py": """
                import pytest
                pytestmark = pytest.mark.module_mark
                @pytest.mark.resources(memory="2GB", gpu=1, odd=object(), nan=float("nan"))
                @pytest.mark.seed(2**70)
                def test_needs(): pass
            """
        },
    )
    told = Told()
    runner = SessionRunner(spec_of(folder))
    try:
        collect(runner, told)
    finally:
        runner.close()
    [item] = told.all("item")
    marks = {mark["name"]: mark for mark in item["marks"]}
    assert marks["resources"]["kwargs"]["memory"] == "2GB"
    assert marks["resources"]["kwargs"]["gpu"] == 1
    assert "object" in marks["resources"]["kwargs"]["odd"]
    # Wider than msgpack and orjson take: as a number it would end the worker's connection.
    assert marks["seed"]["args"] == [str(2**70)]
    assert "module_mark" in marks
    assert (item["file"], item["line"]) == ("test_marks.py", 3)


def test_deselection_by_the_user_holds_in_every_runner(tmp_path: Path) -> None:
    """-k applies when all is collected and when one file is."""
    folder = write_suite(tmp_path, {"test_k.py": "def test_a(): pass\ndef test_b(): pass\n"})
    told = run_suite(folder, ".", "-k", "test_a")
    assert told.outcomes == {"test_a": "passed"}
    assert told.all("collected")[0]["deselected"] == ["test_k.py::test_b"]
    runner = SessionRunner(spec_of(folder, ".", "-k", "test_a"))
    asked = Told()
    try:
        run_batch(runner, [("test_k.py::test_b", "test_k.py")], asked)
    finally:
        runner.close()
    assert asked.all("missing") == [
        {"k": "missing", "id": "test_k.py::test_b", "why": "deselected"}
    ]


def test_stale_ids_are_missing_with_the_reason(tmp_path: Path) -> None:
    """An id, a file or an import that is gone costs nothing but its own cases, and is told."""
    folder = write_suite(
        tmp_path, {"test_a.py": "def test_there(): pass", "test_b.py": "import no_such_module"}
    )
    runner = SessionRunner(spec_of(folder))
    told = Told()
    try:
        cases = [
            ("test_a.py::test_gone", "test_a.py"),
            ("test_gone.py::test_x", "test_gone.py"),
            ("test_b.py::test_x", "test_b.py"),
            ("test_a.py::test_there", "test_a.py"),
        ]
        end = run_batch(runner, cases, told)
    finally:
        runner.close()
    assert end.left == ()
    assert {message["id"]: message["why"] for message in told.all("missing")} == {
        "test_a.py::test_gone": "not found",
        "test_gone.py::test_x": "not found",
    }
    assert told.outcomes == {"test_x": "error", "test_there": "passed"}
    why = "its file cannot be loaded: ModuleNotFoundError: No module named 'no_such_module'"
    assert told.done["test_x"]["message"] == why
    assert "import no_such_module" in told.text("test_x", "traceback")
    # Each collection tells what the file really holds.
    assert {message["file"]: message["ids"] for message in told.all("collected")} == {
        "test_a.py": ["test_a.py::test_there"],
        "test_gone.py": [],
        "test_b.py": [],
    }


def test_properties_and_usage_are_recorded(tmp_path: Path) -> None:
    """record_property values and what the case used come with its record."""
    folder = write_suite(
        tmp_path,
        {
            "test_use.py": """
                import time, subprocess, sys
                import pytest
                @pytest.fixture(scope="module")
                def shared(): time.sleep(0.05)
                def test_burns(record_property, shared):
                    record_property("speed", 1.5)
                    record_property("odd", float("nan"))
                    record_property("huge", 10 ** 30)
                    end = time.process_time() + 0.1
                    while time.process_time() < end: pass
                def test_eats():
                    block = bytearray(80_000_000)
                def test_small(): time.sleep(0.01)
                def test_child():
                    code = "import time\\nwhile time.process_time() < .15: pass"
                    subprocess.run([sys.executable, "-c", code], check=True)
            """
        },
    )
    told = run_suite(folder)
    done = told.done
    assert done["test_burns"]["props"][0] == ["speed", 1.5]
    assert done["test_burns"]["props"][2] == ["huge", str(10**30)]
    assert done["test_burns"]["cpu"] >= 0.1
    assert done["test_burns"]["shared"] >= 0.05
    assert done["test_child"]["cpu"] >= 0.1
    assert done["test_eats"]["peak"] - done["test_small"]["peak"] > 60_000_000
    for message in done.values():
        parts = message["setup"] + message["call"] + message["teardown"]
        assert 0 <= parts <= message["t1"] - message["t0"]


def test_a_doctest_that_runs_again_has_its_names(tmp_path: Path) -> None:
    """Doctest takes the names of an example away once it has run; a retry needs them."""
    folder = write_suite(
        tmp_path,
        {
            "product.py": '''
                """
                >>> answer()
                42
                """
                def answer(): return 42
            ''',
            "words.txt": ">>> __name__\n'__main__'\n",
        },
    )
    runner = SessionRunner(spec_of(folder, "--doctest-modules", "--doctest-glob=*.txt", "."))
    told = Told()
    try:
        cases = collect(runner, told)
        run_batch(runner, cases, told)
        run_batch(runner, cases, told)
    finally:
        runner.close()
    assert [message["outcome"] for message in told.all("done")] == ["passed"] * 4


def test_what_hooks_hang_on_a_report_changes_no_verdict(tmp_path: Path) -> None:
    """Subtests have reports with a context; so may any, by the hand of a conftest."""
    folder = write_suite(
        tmp_path,
        {
            "conftest.py": """
                import pytest
                @pytest.hookimpl(hookwrapper=True)
                def pytest_runtest_makereport(item, call):
                    outcome = yield
                    outcome.get_result().context = {"browser": "none"}
            """,
            "test_a.py": "def test_passes(): pass\ndef test_fails(): assert 0",
        },
    )
    assert run_suite(folder).outcomes == {"test_passes": "passed", "test_fails": "failed"}


def test_subtests_of_long_names_leave_room_for_the_reason(tmp_path: Path) -> None:
    """A message is one line; a case with a message of its own has a note of its subtests."""
    suite = """
        import unittest
        class TestSub(unittest.TestCase):
            def test_long(self):
                with self.subTest("of\\nlines", payload="x" * 600):
                    self.fail("the reason")
            def test_both(self):
                with self.subTest(number=1):
                    self.fail("the reason")
                raise ValueError("its own")
    """
    told = run_suite(write_suite(tmp_path, {"test_sub.py": suite}))
    done = {message["id"].rpartition("::")[2]: message for message in told.all("done")}
    assert done["test_long"]["message"].endswith("…: AssertionError: the reason")
    assert done["test_long"]["message"].startswith("subtest of lines payload=")
    assert len(done["test_long"]["message"]) < 72
    note = "subtest failed: number=1: AssertionError: the reason"
    assert done["test_both"]["message"] == "ValueError: its own"
    assert note in done["test_both"]["notes"]
