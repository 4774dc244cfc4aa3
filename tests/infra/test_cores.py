"""How many cores there are to use: where a container has a quota of them, that many."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from proctor.infra.cores import core_count

THERE = 8
OWN_2 = "0::/\n"
OWN_1 = "5:memory:/docker/1a\n4:cpu,cpuacct:/docker/1a\n0::/docker/1a\n"


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(THERE)))


def count(root: Path, own: str, files: dict[str, str]) -> int:
    for name, text in {"own": own, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return core_count(groups=root, own_groups=root / "own")


@pytest.mark.parametrize(
    ("own", "files", "cores"),
    [
        (OWN_2, {}, THERE),
        (OWN_2, {"cpu.max": "100000 100000\n"}, 1),
        (OWN_2, {"cpu.max": "150000 100000\n"}, 2),
        (OWN_2, {"cpu.max": "1000 100000\n"}, 1),
        (OWN_2, {"cpu.max": "max 100000\n"}, THERE),
        (OWN_2, {"cpu.max": "6400000 100000\n"}, THERE),
        # Its own has none, and the one above it does; a quota of nobody above is none of ours.
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "300000 100000\n"}, 3),
        ("0::/a\n", {"a/b/cpu.max": "100000 100000\n"}, THERE),
        # A container of version 1 sees its own group as the root, and its path from outside.
        (
            OWN_1,
            {"cpu,cpuacct/cpu.cfs_quota_us": "200000\n", "cpu,cpuacct/cpu.cfs_period_us": "100000"},
            2,
        ),
        (
            OWN_1,
            {"cpu/docker/1a/cpu.cfs_quota_us": "-1", "cpu/docker/1a/cpu.cfs_period_us": "100000"},
            THERE,
        ),
        (OWN_2, {"cpu.max": "rubbish\n"}, THERE),
        ("", {}, THERE),
    ],
)
def test_a_quota_counts(tmp_path: Path, own: str, files: dict[str, str], cores: int) -> None:
    """Of either version of control groups, wherever above this process it stands."""
    assert count(tmp_path, own, files) == cores


def test_where_there_are_no_groups_the_cores_count(tmp_path: Path) -> None:
    """As on a kernel without them."""
    assert core_count(groups=tmp_path, own_groups=tmp_path / "none") == THERE
