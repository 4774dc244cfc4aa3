"""Tests that replace functions of standard modules are told of as pytest tells of them."""

from __future__ import annotations

from pathlib import Path

from runner_suites import Told, collect, run_batch, run_suite, spec_of, write_suite

from proctor.infra.runners.runner import SessionRunner


def test_what_tests_replace_in_os_costs_no_verdict(tmp_path: Path) -> None:
    """A case is reported while its own patches stand, and others run under those of its module."""
    folder = write_suite(
        tmp_path,
        {
            "test_patched.py": """
                import os
                import pytest

                def broken(*args, **kwargs):
                    raise OSError("replaced")

                def test_pretends_another_process(monkeypatch):
                    monkeypatch.setattr(os, "getpid", lambda: 4242)
                    assert os.getpid() == 4242

                def test_fails_as_another_process(monkeypatch):
                    monkeypatch.setattr(os, "getpid", lambda: 4242)
                    assert os.getpid() == 1

                @pytest.fixture(scope="module")
                def nothing_works():
                    with pytest.MonkeyPatch.context() as patch:
                        for name in ("fstat", "write", "lseek", "pread", "getcwd", "chdir"):
                            patch.setattr(os, name, broken)
                        yield

                def test_first_of_the_module(nothing_works): pass
                def test_second_of_the_module(nothing_works): assert 0
            """,
        },
    )
    told = run_suite(folder, "-s")
    assert told.outcomes == {
        "test_pretends_another_process": "passed",
        "test_fails_as_another_process": "failed",
        "test_first_of_the_module": "passed",
        "test_second_of_the_module": "failed",
    }
    assert not any(end.runner_died for end in told.ends)


def test_what_tests_replace_for_good_costs_no_other_case(tmp_path: Path) -> None:
    """Orders are read and results are told, whatever `json` and `time` have by then."""
    folder = write_suite(
        tmp_path,
        {
            "test_a.py": """
                import json
                import time

                def broken(*args, **kwargs):
                    raise OSError("replaced")

                def test_replaces():
                    for name in ("load", "loads", "dumps", "JSONDecoder", "JSONEncoder"):
                        setattr(json, name, broken)
                    time.time = time.monotonic = broken
            """,
            "test_b.py": "def test_b(): pass\n",
        },
    )
    told = Told()
    collector, runner = SessionRunner(spec_of(folder)), SessionRunner(spec_of(folder))
    try:
        # A batch each: the second order comes after the replacement.
        for case in collect(collector):
            end = run_batch(runner, [case], told)
            assert (end.left, end.runner_died) == ((), False)
    finally:
        collector.close(0)
        runner.close(0)
    assert told.outcomes == {"test_replaces": "passed", "test_b": "passed"}
