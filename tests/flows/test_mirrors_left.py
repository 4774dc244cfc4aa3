"""When everything is taken down, no mirror stays to start the Prefect server anew."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from proctor.flows.mirroring import mirrors_left
from proctor.flows.mirroring.mirror_process import MODULE
from proctor.flows.mirroring.mirror_told import Told, save_told
from proctor.flows.mirroring.mirrors_left import end_mirrors
from proctor.flows.mirroring.untold_note import owe, settle

# Sleeps under a mirror's command line, or ends as soon as it is let.
LASTING, BRIEF = "import time; time.sleep(600)", "import sys; sys.stdin.read()"


class Stage:
    """Processes that look like mirrors."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.processes: list[subprocess.Popen[bytes]] = []

    def mirror(
        self, directory: Path, code: str = LASTING, prefect: str = "auto"
    ) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", code, "-m", MODULE, str(directory), "--prefect", prefect]
        self.processes.append(subprocess.Popen(command, stdin=subprocess.PIPE))
        return self.processes[-1]

    def of(
        self, campaign: str, code: str = LASTING, prefect: str = "auto"
    ) -> subprocess.Popen[bytes]:
        return self.mirror(self.state / "campaigns" / campaign, code, prefect)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path / "state")
    yield made
    for process in made.processes:
        process.kill()
        process.communicate()


def test_mirrors_of_the_state_directory_are_ended_and_named(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not those of running campaigns, of other directories, or with a server that answers."""
    monkeypatch.setattr(mirrors_left, "is_answering", lambda url: "prefect.example" in url)
    dead = stage.of("c-unheard", prefect="http://127.0.0.1:9/api")
    over = stage.of("c-over")
    others = [
        stage.of("c-running"),
        stage.of("c-elsewhere", prefect="http://prefect.example/api"),
        stage.mirror(tmp_path / "other" / "campaigns" / "c-over"),
    ]
    ended = end_mirrors(stage.state, but=["c-running"], patience=0.0)
    assert ended == ["c-over", "c-unheard"]
    assert not psutil.pid_exists(over.pid)
    assert not psutil.pid_exists(dead.pid)
    assert all(each.poll() is None for each in others)


def test_one_that_is_about_to_end_may_tell_the_rest(stage: Stage) -> None:
    """Then its campaign is told whole."""
    brief = stage.of("c-over", BRIEF)
    # As soon as it is seen it may end: its line is printed while it still lives.
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        assert brief.stdin is not None
        brief.stdin.close()

    assert end_mirrors(stage.state, patience=60.0, say=say) == []
    assert len(said) == 1
    assert not psutil.pid_exists(brief.pid)


def test_one_that_tells_of_others_is_neither_waited_for_nor_named(stage: Stage) -> None:
    """Its own campaign is told; what others owe is told with the next one."""
    memory = stage.state / "campaigns" / "c-told" / "mirror"
    memory.mkdir(parents=True)
    save_told(memory, Told())
    busy = stage.of("c-told")
    said: list[str] = []
    # It would be waited for as long as that.
    assert end_mirrors(stage.state, patience=3600.0, say=said.append) == []
    assert said == []
    assert not psutil.pid_exists(busy.pid)


def test_one_that_is_done_with_its_own_is_waited_for_no_longer(stage: Stage) -> None:
    """It goes on with campaigns of others, for minutes."""
    directory = stage.state / "campaigns" / "c-over"
    owe(directory)
    save_told(directory / "mirror", Told())
    stage.of("c-over")
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        settle(directory)

    assert end_mirrors(stage.state, patience=3600.0, say=say) == []
    assert len(said) == 1
