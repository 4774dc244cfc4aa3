"""What is typed for pytest and is Proctor's to do, or nobody's."""

from __future__ import annotations

from pathlib import Path

import pytest

from proctor.deployments.cli import main
from proctor.infra.errors import UsageProblem
from proctor.infra.pytest_options import (
    addopts_of,
    remedy_for,
    take_over,
    wants_whole_files,
    without_effect,
)


@pytest.mark.parametrize(
    ("words", "kept", "ours"),
    [
        (("-x",), (), {"maxfail": 1}),
        (("--maxfail=3", "-k", "a"), ("-k", "a"), {"maxfail": 3}),
        (("--maxfail", "3"), (), {"maxfail": 3}),
        (("-xvv",), ("-v", "-v"), {"maxfail": 1}),
        (("--lf", "--ff"), (), {"last_failed": True, "failed_first": True}),
        (("--junitxml", "j.xml"), (), {"junitxml": "j.xml"}),
        (("--junit-xml=j.xml",), (), {"junitxml": "j.xml"}),
        (("-n4",), (), {"slots": "4"}),
        (("-n", "logical"), (), {"slots": "auto"}),
        (("-p", "no:randomly", "--tb=short"), ("-p", "no:randomly", "--tb=short"), {}),
        (("--splits=3", "--group", "2"), ("--splits=3", "--group", "2"), {}),
    ],
)
def test_what_is_ours_is_taken_over(
    words: tuple[str, ...], kept: tuple[str, ...], ours: dict[str, object]
) -> None:
    """And pytest does not get it."""
    taken = take_over(words)
    assert (taken.kept, taken.ours, taken.idle) == (kept, ours, ())


@pytest.mark.parametrize(
    "word",
    ["--collect-only", "--collectonly", "--pdb", "--sw", "--fixtures", "--looponfail"],
)
def test_what_would_not_run_the_suite_is_refused(word: str) -> None:
    """With what does it instead."""
    with pytest.raises(UsageProblem, match=f"{word} cannot be had here; "):
        take_over([word])


def test_what_has_no_effect_is_passed_on_and_named() -> None:
    """Once each, those of addopts too, which may hold what is ours as well."""
    assert take_over(["--durations=3", "-s"]).kept == ("--durations=3", "-s")
    text = without_effect(["--durations=3", "-s"], ["-s", "-x", "--maxfail=1"])
    assert text.startswith("--durations, -s of pytest have no effect here")
    assert "-x, --maxfail in pytest's addopts have no effect here" in text
    assert without_effect(["-v", "--tb=short"], ["-ra", "--strict-markers"]) == ""
    assert without_effect([], ["--html=report.html"]).startswith("--html of pytest has no effect")


def test_dist_that_keeps_files_whole_has_its_effect() -> None:
    """Wherever it stands; what was typed comes after the configuration's."""
    assert (
        without_effect(["--dist=loadfile"], []) == without_effect([], ["--dist", "loadscope"]) == ""
    )
    assert wants_whole_files(["--dist", "loadscope"])
    assert not wants_whole_files(["--dist=loadfile", "--dist=worksteal"])
    assert without_effect(["--dist=worksteal"], ["--dist=loadfile"]).startswith(
        "--dist of pytest has"
    )


def test_dist_that_was_typed_as_ours_is_proposed_where_it_has_an_effect() -> None:
    proposed = "give it to pytest: `proctor run -- --dist loadfile`"
    assert remedy_for(["--dist"], ["run", "--dist", "loadfile"]) == proposed
    assert remedy_for(["--dist=loadfile"], ["run", "--dist=loadfile"]) == proposed
    assert "sets the slots" in remedy_for(["--dist=load"], ["run", "--dist=load"])


def test_files_that_sessions_write_over_each_other_are_named() -> None:
    """Wherever they are asked for."""
    told = without_effect(["--benchmark-json=b.json"], ["--store-durations"])
    assert told.startswith("what --benchmark-json, --store-durations of pytest write has the cases")
    assert without_effect([], ["--benchmark-autosave"]) == ""


def test_coverage_is_left_in_parts_and_that_is_said() -> None:
    """Whether it was typed or stands in addopts; not where it is switched off again."""
    assert "coverage combine" in without_effect(["--cov=pkg"], [])
    assert "coverage combine" in without_effect([], ["--cov", "--cov-report=xml"])
    assert without_effect(["--no-cov"], ["--cov=pkg"]) == ""


@pytest.mark.parametrize(
    ("words", "addopts"),
    [
        (["--cov", "--cov-fail-under=80"], []),
        (["--cov"], ["--cov-fail-under", "80"]),
        (["--cov-fail-under=80"], ["--cov", "--cov-fail-under=70"]),
    ],
)
def test_a_limit_of_coverage_is_said_with_the_command_that_judges_it(
    words: list[str], addopts: list[str]
) -> None:
    """Each session has a part of the cases, and would be under it."""
    assert "`coverage combine && coverage report --fail-under=80`" in without_effect(words, addopts)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("pytest.ini", "[pytest]\naddopts = -x\n  --durations=3\n", ("-x", "--durations=3")),
        ("pyproject.toml", "[tool.pytest.ini_options]\naddopts = '-x -s'\n", ("-x", "-s")),
        ("pyproject.toml", "[tool.pytest]\naddopts = ['-x']\n", ("-x",)),
        ("setup.cfg", "[tool:pytest]\naddopts = -x\n", ("-x",)),
        ("tox.ini", "[pytest]\naddopts = -x\n", ("-x",)),
        ("pyproject.toml", "[project]\nname = 'a'\n", ()),
        ("pyproject.toml", "not toml at all", ()),
    ],
)
def test_addopts_are_found_where_pytest_finds_them(
    tmp_path: Path, name: str, text: str, expected: tuple[str, ...]
) -> None:
    """From a folder below as well; the environment's come last."""
    below = tmp_path / "root" / "below"
    below.mkdir(parents=True)
    (tmp_path / "root" / name).write_text(text)
    # Nothing above the test's own directory may play a part.
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    assert addopts_of(below, {"PYTEST_ADDOPTS": "-q"}) == (*expected, "-q")


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("-vv", "`proctor run -- -vv`"),
        ("--tb=short", "`proctor run -- --tb=short`"),
        ("-p no:x", "`proctor run -- -p no:x`"),
        ("-p no:x tests --deselect a::b -v", "`proctor run -- -p no:x --deselect a::b -v`"),
        ("tests -rA", "`proctor run -- -rA`"),
        ("-pno:x tests", "`proctor run -- -pno:x`"),
        ("-v -p", "`proctor run -- -v -p`"),
        ("-p -v", "`proctor run -- -p -v`"),
        ("--durations=3", "proctor show"),
        ("-s", "proctor logs"),
        ("--collect-only", "--plan"),
    ],
)
def test_options_of_pytest_typed_as_ours_are_answered(
    typed: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """They need the -- before them, or do nothing here."""
    with pytest.raises(SystemExit) as ended:
        main(["run", *typed.split()])
    assert ended.value.code == 4
    assert told in capsys.readouterr().err
