"""`proctor config show` tells what is set, and refuses what a run would refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from proctor.deployments.cli import main


def show(place: Path, *arguments: str, toml: str = "") -> int:
    (place / "pyproject.toml").write_text(f"[tool.proctor]\n{toml}")
    return main(["config", "show", "--directory", str(place), *arguments])


def test_worker_classes_are_shown_as_one_types_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are settings too, with their origin."""
    toml = "[tool.proctor.classes.big]\nslots = 2\nmemory = '16GB'\n"
    assert show(tmp_path, "--origin", toml=toml) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.split() == ["classes", "big:slots=2,memory=16GB", "pyproject.toml"]
    assert show(tmp_path, "--json", toml=toml) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["classes"]["value"] == {"big": {"slots": 2, "memory": "16GB"}}
    assert show(tmp_path) == 0
    assert capsys.readouterr().out.splitlines()[-1].split() == ["classes", "none"]


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        (
            "fleet_classes = ['cpuu:slos=4']",
            "pyproject.toml line 2: worker class 'cpuu:slos=4' has",
        ),
        ("fleet_classes = ['higmem']", "pyproject.toml line 2: there is no worker class 'higmem'"),
        ("[tool.proctor.classes.big]\nslotz = 2\n", "pyproject.toml: classes"),
    ],
)
def test_classes_that_cannot_be_read_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], toml: str, says: str
) -> None:
    """Here, and not only by the first run."""
    assert show(tmp_path, toml=toml) == 4
    assert says in capsys.readouterr().err


def test_a_directory_that_is_not_there_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its settings would be those of nowhere."""
    assert main(["config", "show", "--directory", str(tmp_path / "nope")]) == 4
    assert f"there is no directory {tmp_path / 'nope'}" in capsys.readouterr().err
