"""Threads of numerical libraries, as tests of a plain `proctor run` find them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from real_campaigns import PATIENCE_SECONDS, type_in, write_project

from proctor.infra.runners.math_threads import VARIABLES

SUITE = """\
    import os

    def test_threads():
        assert os.environ.get("OMP_NUM_THREADS", "") == "{threads}"
    """


@pytest.mark.timeout(2 * PATIENCE_SECONDS)
@pytest.mark.parametrize(
    ("settings", "threads"),
    [({}, "1"), ({"PROCTOR_MATH_THREADS": "all"}, ""), ({"PROCTOR_MATH_THREADS": "3"}, "3")],
)
def test_sessions_share_the_cores_of_their_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], threads: str
) -> None:
    """A slot for each core has one thread; or what was asked for."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    text = SUITE.format(threads=threads)
    project = write_project(tmp_path / "orchard", {"test_threads.py": text})
    slots = str(max(2, os.cpu_count() or 2))
    done = type_in(
        *("run", "--state", str(tmp_path / "state"), "--prefect", "off", "-n", slots),
        cwd=project,
        **settings,
    )
    assert done.returncode == 0, done.stdout + done.stderr
