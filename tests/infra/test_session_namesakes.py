"""Cases of different files that pytest gives one id: files outside the root."""

from __future__ import annotations

from pathlib import Path

from runner_suites import Told, collect, run_batch, spec_of, write_suite

from proctor.infra.runners.runner import SessionRunner

FIRST = "tests/test_x.py"
OTHER = "../second/tests/test_x.py"
OUTCOMES = {
    f"{FIRST}::test_same": "passed",
    f"{FIRST}::test_first": "passed",
    f"{OTHER}::test_same": "failed",
    f"{FIRST}::test_second": "passed",
}


def two_packages(folder: Path) -> tuple[Path, tuple[str, ...]]:
    """A root in which there is nothing, and two folders elsewhere that look alike."""
    text = "def test_same(): assert {same}\ndef test_{name}(): pass\n"
    for name, same in (("first", 1), ("second", 0)):
        tests = folder / name / "tests"
        tests.mkdir(parents=True)
        (tests / "test_x.py").write_text(text.format(name=name, same=same))
    root = write_suite(folder / "root", {})
    # One name of two modules: as with packages, but nothing has to be installed.
    options = ("--import-mode=importlib", f"--rootdir={root}")
    return root, (*options, f"{folder}/first", f"{folder}/second")


def test_both_run_and_are_told_apart(tmp_path: Path) -> None:
    """The first has pytest's id, the other its way from the root, whoever loads which first."""
    root, arguments = two_packages(tmp_path)
    told = Told()
    runners = [SessionRunner(spec_of(root, *arguments)) for _ in range(3)]
    try:
        found = collect(runners[0], told)
        assert [case for case, _ in found] == list(OUTCOMES)
        run_batch(runners[1], list(reversed(found)), told)
        # Of the first file this one hears nothing.
        run_batch(runners[2], found[2:], told)
    finally:
        for runner in runners:
            runner.close(0)
    assert not told.all("missing")
    done = [(message["id"], message["outcome"]) for message in told.all("done")]
    expected = list(OUTCOMES.items())
    assert done == [*reversed(expected), *expected[2:]]
    failures = [
        str(message["text"]) for message in told.all("done") if message["outcome"] == "failed"
    ]
    assert all("second/tests/test_x.py" in text for text in failures)


def test_the_one_that_is_gone_is_not_mistaken_for_the_other(tmp_path: Path) -> None:
    """A file that no longer holds the case: it is missing, and no other runs under its id."""
    root, arguments = two_packages(tmp_path)
    told = Told()
    collector, runner = (SessionRunner(spec_of(root, *arguments)) for _ in range(2))
    try:
        found = collect(collector, told)
        (tmp_path / "second" / "tests" / "test_x.py").write_text("def test_second(): pass\n")
        run_batch(runner, found, told)
    finally:
        collector.close(0)
        runner.close(0)
    assert [message["id"] for message in told.all("missing")] == [f"{OTHER}::test_same"]
    assert f"{OTHER}::test_same" not in {message["id"] for message in told.all("done")}
