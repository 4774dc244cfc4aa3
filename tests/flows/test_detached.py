"""Processes that stay out of the way of all others."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from proctor.flows.server import detached


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ([BlockingIOError(11, "Resource temporarily unavailable"), None], 2),
        ([OSError(5, "Input/output error")], 1),
    ],
    ids=["others were just told", "no groups"],
)
def test_a_session_is_told_until_the_kernel_takes_it(
    monkeypatch: pytest.MonkeyPatch, answers: list[OSError | None], told: int
) -> None:
    """It grants a few such changes a second to all together; one that is lost is never made up."""
    written: list[str] = []

    def write_text(text: str, *, encoding: str) -> None:
        written.append(text)
        if problem := answers.pop(0):
            raise problem

    monkeypatch.setattr(detached, "GROUP", SimpleNamespace(write_text=write_text))
    monkeypatch.setattr(detached, "GROUP_SECONDS", 0.0)
    monkeypatch.setattr(os, "getsid", lambda pid: os.getpid())
    detached.share_niceness()
    assert written == [str(os.nice(0))] * told


def test_what_stays_keeps_no_file_of_whoever_started_it(tmp_path: Path) -> None:
    """A lock of the shell around `proctor run` is free when the run is over, whatever stays."""
    lists = (
        "import os\n"
        "for number in os.listdir('/proc/self/fd'):\n"
        "    print(os.path.realpath('/proc/self/fd/' + number))"
    )
    with (tmp_path / "lock").open("w") as lock:
        # As in `exec 9>lock`.
        os.set_inheritable(lock.fileno(), True)
        process = detached.spawn_detached(
            [sys.executable, "-c", lists], environ=dict(os.environ), log=tmp_path / "log"
        )
        _, status = os.waitpid(process, 0)
        assert os.get_inheritable(lock.fileno())

    told = (tmp_path / "log").read_text().splitlines()
    assert status == 0
    assert str(tmp_path / "log") in told
    assert str(tmp_path / "lock") not in told


LIMITED = """
import os, resource, sys
from pathlib import Path
from proctor.flows.server import detached
os.dup2(0, 200, inheritable=True)
resource.setrlimit(resource.RLIMIT_NOFILE, (128, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
lists = "import os; print(*os.listdir('/proc/self/fd'))"
process = detached.spawn_detached(
    [sys.executable, "-c", lists], environ=dict(os.environ), log=Path(sys.argv[1])
)
os.waitpid(process, 0)
print(os.get_inheritable(200))
"""


def test_a_file_beyond_the_limit_of_files_is_not_kept_either(tmp_path: Path) -> None:
    """As where a shell opened it, and `ulimit -n` was lowered afterwards."""
    log = tmp_path / "log"
    told = subprocess.run(
        [sys.executable, "-c", LIMITED, str(log)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert (told.stdout, told.stderr) == ("True\n", "")
    kept = log.read_text().split()
    assert "2" in kept
    assert "200" not in kept
