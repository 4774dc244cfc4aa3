"""When everything is taken down, who still works on the store is waited for, and named."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from proctor.flows.remembering.remember import MODULE
from proctor.flows.remembering.remembers_left import await_remembers


@contextmanager
def remembering(state: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process with the command line of one, which ends as soon as it is let."""
    command = [sys.executable, "-c", "import sys; sys.stdin.read()", "-m", MODULE, str(state)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        yield process
        process.communicate()


def test_who_takes_campaigns_into_the_store_is_waited_for(tmp_path: Path) -> None:
    """And that is said."""
    said: list[str] = []
    with remembering(tmp_path) as brief:

        def say(text: str) -> None:
            said.append(text)
            assert brief.stdin is not None
            brief.stdin.close()

        assert await_remembers(tmp_path, patience=60.0, say=say) == []
        assert said == ["finished campaigns are taken into the store (60 s)"]
        assert not psutil.pid_exists(brief.pid)
        brief.stdin = None


def test_who_goes_on_for_longer_is_named_and_left_to_it(tmp_path: Path) -> None:
    """Not those of other state directories."""
    with remembering(tmp_path / "a") as lasting, remembering(tmp_path / "b"):
        assert await_remembers(tmp_path / "a", patience=0.0) == [lasting.pid]
        assert lasting.poll() is None
