"""What the flow `host-worker` makes of its orders, and of its worker's end; without a server."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from proctor.flows.server.host_worker import DRAIN_TAG, STOP_TAG, host

# Says that it is there, and then does as it is told.
POLITE = "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(0)); "
DEAF = "import signal, time; signal.signal(15, signal.SIG_IGN); "
WAIT = "open({ready!r}, 'w').close(); time.sleep(600)"


class _Orders:
    """Nothing until the worker is up; then these tags."""

    def __init__(self, ready: Path, *tags: str) -> None:
        self.ready, self.given = ready, tags

    async def tags(self) -> frozenset[str]:
        return frozenset(self.given) if self.ready.exists() else frozenset()


def hosted(tmp_path: Path, code: str, *tags: str, drain: float = 20.0) -> tuple[str, str | None]:
    ready = tmp_path / "ready"
    starting = [sys.executable, "-c", code.replace("{ready!r}", repr(str(ready)))]
    orders = _Orders(ready, *tags)
    ended = asyncio.run(host(starting, orders, drain_seconds=drain, refusal=tmp_path / "refusal"))
    return ended.name, ended.message


@pytest.mark.parametrize(
    ("code", "tag", "message"),
    [
        (POLITE + WAIT, DRAIN_TAG, "it was drained"),
        # Whatever it does.
        (DEAF + WAIT, STOP_TAG, "it was stopped"),
    ],
    ids=["drain", "stop"],
)
def test_an_order_ends_the_run_completed(tmp_path, code, tag, message):
    """A drain asks, a stop does not wait for an answer."""
    assert hosted(tmp_path, code, tag) == ("Completed", message)


def test_a_drain_has_an_end(tmp_path, monkeypatch):
    """A worker that never finishes would keep its place in the pool."""
    monkeypatch.setattr("proctor.flows.server.host_worker.CLOSE_SECONDS", 0.0)

    assert hosted(tmp_path, DEAF + WAIT, DRAIN_TAG, drain=0.1) == ("Completed", "it was drained")


def test_a_worker_that_is_killed_fails_its_run(tmp_path):
    """The reason is what a person needs."""
    code = f"import os; os.kill(os.getpid(), {int(signal.SIGKILL)})"

    assert hosted(tmp_path, code) == ("Failed", "it was killed by SIGKILL")


def test_a_worker_that_stays_out_says_why(tmp_path):
    """Its words come before the exit code."""
    (tmp_path / "refusal").write_text("its clock is wrong")

    assert hosted(tmp_path, "raise SystemExit(78)") == ("Failed", "refused: its clock is wrong")


def test_a_run_that_is_cancelled_leaves_no_worker(tmp_path):
    """Cancelled in Prefect's page, it must not run on unseen."""
    code = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); " + (
        WAIT.replace("{ready!r}", repr(str(tmp_path / "ready")))
    )

    async def cancelled() -> None:
        orders = _Orders(tmp_path / "ready")
        running = asyncio.create_task(
            host([sys.executable, "-c", code], orders, drain_seconds=20, refusal=tmp_path / "no")
        )
        async with asyncio.timeout(120):
            while not (tmp_path / "ready").exists():
                await asyncio.sleep(0.02)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(cancelled())

    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
