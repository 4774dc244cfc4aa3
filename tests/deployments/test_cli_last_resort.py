"""What nobody foresaw: never the exit code of failed cases, and no traceback for a file's sake."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from proctor.deployments.acts import inspect_acts
from proctor.deployments.cli import main


def fail_with(problem: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def act(_arguments: object) -> int:
        raise problem

    monkeypatch.setitem(inspect_acts.ACTS, "list", act)  # type: ignore[misc]


def test_a_defect_has_its_own_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Python's own would say that cases failed; the traceback is for who mends it."""
    fail_with(KeyError("surprise"), monkeypatch)
    assert main(["list"]) == 3
    told = capsys.readouterr().err
    assert "KeyError: 'surprise'" in told
    assert told.splitlines()[-1].startswith("proctor: this is a defect")


def test_a_file_that_cannot_be_used_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Somebody else's directory, or one that was removed while we looked."""
    path = str(Path("/somebody/else"))
    fail_with(PermissionError(errno.EACCES, "Permission denied", path), monkeypatch)
    assert main(["list"]) == 6
    told = capsys.readouterr().err
    assert told == (
        "proctor: /somebody/else cannot be used: Permission denied; see that it is there and that "
        "you may use it\n"
    )


def test_a_directory_that_was_removed_under_ones_feet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Most verbs look for settings where they are typed."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    try:
        assert main(["list"]) == 4
    finally:
        monkeypatch.chdir(tmp_path)
    assert "the directory you are in was removed" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ("watch", "--timeout", "nan"),
        ("trends", "--timeout", "inf"),
        ("bisect", "t", "--good", "v1", "--timeout", "-1"),
        ("sql", "select 1", "--timeout", "soon"),
    ],
)
def test_a_time_that_would_never_be_over_is_refused(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a number that is none every comparison is false."""
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 4
    assert f"{words[-1]!r} is not between 0 and a million seconds" in capsys.readouterr().err


def test_what_was_typed_moves_no_cursor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is said again as escapes."""
    assert main(["run", "--directory", str(tmp_path), "a\x1bc.py"]) == 4
    assert r"there is no file or directory a\x1bc.py" in capsys.readouterr().err


def test_a_disk_that_takes_nothing_is_told_as_elsewhere(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the place that was to be written, and what helps."""
    fail_with(OSError(errno.EROFS, "Read-only file system", "/state/mirror"), monkeypatch)
    assert main(["list"]) == 6
    assert capsys.readouterr().err == (
        "proctor: /state/mirror cannot be written: the disk is read-only; choose another place"
        " with `--state DIR`\n"
    )
