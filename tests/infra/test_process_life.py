"""Ends of processes."""

from __future__ import annotations

import subprocess

from proctor.infra.process_life import end_process


class Stuck:
    """A process in a system call that does not return."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def poll(self) -> None:
        return None

    def terminate(self) -> None:
        self.heard.append("terminate")

    def kill(self) -> None:
        self.heard.append("kill")

    def wait(self, timeout: float) -> int:
        raise subprocess.TimeoutExpired("worker", timeout)


def test_one_that_cannot_be_ended_keeps_no_other() -> None:
    """Whoever ends a fleet goes on to the next."""
    process = Stuck()
    end_process(process, grace=0.0)  # pyright: ignore[reportArgumentType] - what is used of it.
    assert process.heard == ["terminate", "kill"]
