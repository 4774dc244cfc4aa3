"""The verb `trends`, from the command line to what it prints."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from ledgers import write_campaign

from proctor.deployments.cli import main
from proctor.flows.trending import trend_run
from proctor.infra.records import Attempt, Outcome, Usage
from proctor.monitoring.trends.demo_history import write_demo


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    folder = tmp_path_factory.mktemp("state")
    write_demo(folder)
    return str(folder)


def test_the_demonstration_shows_something_and_keeps_nothing(capsys):
    """Nothing but the command is needed."""
    assert main(["trends", "--demo"]) == 0
    said = capsys.readouterr().out
    assert "11.9% slower since commit" in said
    assert "fails by chance" in said


def test_a_confirmed_regression_is_exit_code_ten_where_asked(state, capsys):
    """And zero where not."""
    assert main(["trends", "--state", state, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert sum(each["regression"] for each in document["findings"]) == 3
    assert main(["trends", "--state", state, "--fail-on", "regression"]) == 10


def test_a_dismissed_regression_fails_nothing(state, capsys):
    """All three are said to be nothing; a second look agrees."""
    main(["trends", "--state", state, "--json"])
    document = json.loads(capsys.readouterr().out)
    for each in document["findings"]:
        if each["regression"]:
            assert main(["trends", "dismiss", each["id"], "--why", "known", "--state", state]) == 0
    assert main(["trends", "--state", state, "--fail-on", "regression"]) == 0


def test_a_page_holds_everything_and_fetches_nothing(state, tmp_path):
    """One file: no address in it but the name of SVG."""
    page = tmp_path / "trends.html"
    assert main(["trends", "--state", state, "--html", str(page)]) == 0
    text = page.read_text()
    assert "test_press_2" in text
    assert text.replace("http://www.w3.org/2000/svg", "").count("http") == 0


def test_a_state_that_cannot_be_written_is_looked_at_all_the_same(state, capsys, monkeypatch):
    """With the findings and ids that are known there, and nothing is touched."""

    def look():
        assert main(["trends", "--state", state, "--json"]) == 0
        said = capsys.readouterr()
        findings = json.loads(said.out)["findings"]
        return sorted((each["id"], each["status"]) for each in findings), said.err

    def files():
        return {path: path.stat().st_mtime_ns for path in Path(state).rglob("*")}

    known, err = look()
    assert known
    assert "cannot be written" not in err
    monkeypatch.setattr(trend_run, "is_writable", lambda store: False)
    before = files()
    found, err = look()
    assert (found, files()) == (known, before)
    assert f"{state} cannot be written: only what its store has was looked at" in err


def test_a_history_that_was_pruned_is_told_as_that(tmp_path, capsys):
    """Cases did pass there: what they took is what is gone."""
    state = str(tmp_path)

    def ran(campaign, *, at, outcome):
        attempt = Attempt(
            case="a.py::x", id="b1.a.py::x", outcome=outcome, started=at, finished=at,
            usage=Usage(wall_seconds=1.0), batch="b1",
        )  # fmt: skip
        write_campaign(tmp_path, campaign, [(attempt, ())], clock=lambda: at)
        main(["trends", "--state", state])
        return capsys.readouterr().out.splitlines()[0]

    assert ran("c1", at=1.6e9, outcome=Outcome.PASSED).startswith("p1: 1 series of 1 campaigns (")
    assert main(["store", "prune", "--keep", "1d", "--state", state]) == 0
    capsys.readouterr()
    main(["trends", "--state", state])
    only = (
        "p1: 0 series of 1 campaigns, of which the store has only sums since `proctor store prune`"
    )
    assert capsys.readouterr().out.splitlines()[0] == only
    main(["trends", "--state", state, "--json"])
    assert json.loads(capsys.readouterr().out)["pruned"] == 1
    told = ran("c2", at=1.7e9, outcome=Outcome.FAILED)
    assert told == "p1: 0 series of 2 campaigns, 1 of them pruned; in the others no case passed"


def test_a_mistyped_state_directory_is_told_and_not_made(tmp_path, capsys):
    """Nothing ran there; looking leaves nothing behind."""
    assert main(["trends", "--state", str(tmp_path / "sttae")]) == 4
    assert "no campaign ever ran in" in capsys.readouterr().err
    assert not (tmp_path / "sttae").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere.py::t"], "knows no case"),
        (["a", "b"], "2 cases were given"),
        (["confirm"], "no finding was named"),
        (["dismiss", "zzz"], "no findings begin with 'zzz'"),
        (["--since", "yesterday"], "--since"),
        (["test-notify"], "nobody to notify"),
        (["import", "missing.json"], "holds no measurements"),
        (["--project", "nosuch"], "knows no project 'nosuch'; it knows orchard (demonstration)"),
        (["--metric", "nosuch"], "values of nosuch; there are litres, memory, seconds"),
        (["--since", "2030-01-01"], "ran since 2030-01-01"),
        (["--smallest", "nan"], "is no share"),
        (["--html", "/proc/x.html"], "page cannot be written"),
        (["--demo", "--confirm"], "no code to run again"),
    ],
)
def test_what_cannot_be_used_is_told_in_one_sentence(state, capsys, words, told):
    """Exit code 4, and no traceback."""
    assert main(["trends", *words, "--state", state]) == 4
    assert told in capsys.readouterr().err


def test_an_empty_state_directory_is_told(tmp_path, capsys):
    """There is nothing to look at yet."""
    assert main(["trends", "--state", str(tmp_path)]) == 4
    assert "no campaign ever ran in" in capsys.readouterr().err


def test_a_look_at_large_moves_ends_no_small_finding(tmp_path, capsys):
    """What was not looked for is not over."""
    write_demo(tmp_path)
    main(["trends", "--state", str(tmp_path), "--json"])
    before = json.loads(capsys.readouterr().out)["findings"]
    main(["trends", "--state", str(tmp_path), "--smallest", "5", "--json"])
    capsys.readouterr()
    main(["trends", "--state", str(tmp_path), "--json"])
    after = json.loads(capsys.readouterr().out)
    assert after["findings"] == before
    assert after["news"] == []


def test_a_picture_is_drawn_where_asked(state, tmp_path, capsys):
    """With its library, which is an extra."""
    pytest.importorskip("matplotlib", reason="pip install '.[png]'")
    path = tmp_path / "new" / "x.png"
    assert main(["trends", "--state", state, "--png", str(path)]) == 0
    assert path.read_bytes().startswith(b"\x89PNG")
    assert f"written: {path}" in capsys.readouterr().out
    assert main(["trends", "--state", state, "--png", "/proc/x.png"]) == 4
    assert "picture cannot be written to /proc/x.png" in capsys.readouterr().err


def test_png_without_its_library_names_it(state, tmp_path, capsys, monkeypatch):
    """Drawing is optional; the page needs nothing."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["trends", "--state", state, "--png", str(tmp_path / "x.png")]) == 4
    told = capsys.readouterr().err
    assert "matplotlib, which is not installed" in told
    # By the checkout's own name: no index is known to have it under another.
    assert "pip install '.[png]'" in told


def test_imported_measurements_belong_to_the_project_of_the_directory(tmp_path, capsys):
    """Whatever the directory is called: its campaigns go by the name in pyproject.toml."""
    suite = tmp_path / "checkout-of-tuesday"
    suite.mkdir()
    (suite / "pyproject.toml").write_text('[project]\nname = "orchard"\n')
    file = tmp_path / "asv.json"
    file.write_text(json.dumps({"commit_hash": "a", "date": 1.7e12, "results": {"m.time_x": 1.0}}))
    state = ["--state", str(tmp_path / "state")]
    assert main(["trends", "import", str(file), "--directory", str(suite), *state]) == 0
    assert "1 value of 1 run taken in, 0 were known" in capsys.readouterr().out
    assert main(["trends", "--json", *state]) == 0
    assert json.loads(capsys.readouterr().out)["project"] == "orchard"
