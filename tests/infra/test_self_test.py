"""What keeps a worker out of the fleet."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from proctor.infra.fleet.self_test import REFUSED, self_test
from proctor.infra.fleet.worker_host import _refuse


def test_a_sound_machine_passes(tmp_path: Path) -> None:
    """And leaves nothing in its directory."""
    assert self_test(tmp_path / "scratch", launched=100.0, now=101.0) == ""
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.parametrize(("now", "words"), [(40.0, "60 s behind"), (100.0 + 7200, "7200 s ahead")])
def test_a_clock_that_is_off_is_said_with_how_much(tmp_path: Path, now: float, words: str) -> None:
    """Records from there would stand in the wrong order."""
    assert words in self_test(tmp_path, launched=100.0, now=now)


def test_a_scratch_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """The first thing a case does there would fail."""
    file = tmp_path / "file"
    file.write_text("")

    assert "file/scratch cannot be written" in self_test(file / "scratch", launched=0, now=0)


def test_an_interpreter_that_does_not_start_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a half-done upgrade."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))

    assert f"{tmp_path / 'python'} does not start" in self_test(tmp_path, launched=0, now=0)


def test_a_worker_that_cannot_say_why_stays_out_all_the_same(tmp_path: Path) -> None:
    """On a full disk a crash would be seen instead, and started again and again."""
    with pytest.raises(SystemExit) as left:
        _refuse(tmp_path / "missing" / "cpu-1.refused", "its directory cannot be written")
    assert left.value.code == REFUSED
