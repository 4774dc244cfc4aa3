"""The process that undoes faults whose time is over, whoever injected them and however that died.

`python -m proctor.infra.faults.reaper --state DIR`: one per state directory; it is started before
the first fault and leaves when no lease has stood for a while.
"""

from __future__ import annotations

import argparse
import fcntl
import logging
import os
import sys
import time
from pathlib import Path
from typing import IO

from ..detached_process import spawn
from ..errors import InfrastructureProblem, StateUnwritable
from ..ledgers.append_file import unwritable
from .lease import FaultFiles, held, settle
from .record import FaultRecorder
from .undo import UndoProblem

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.1
# It goes on for a while: the next fault of an experiment needs it again.
LINGER_SECONDS = 20.0
# An undo that failed is tried again, less and less often.
RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 60.0
START_SECONDS = 30.0
TAKE_SECONDS = 0.5
# How soon one that was killed is missed.
KEEP_SECONDS = 2.0


def reap(files: FaultFiles, *, linger: float = LINGER_SECONDS) -> int:
    """Undo what expires until nothing has been held for a while; 1 if another one does so."""
    files.directory.mkdir(parents=True, exist_ok=True)
    with files.reaper.open("a") as lock:
        while True:
            if not _taken(lock):
                return 1
            _reap_on(files, linger)
            fcntl.flock(lock, fcntl.LOCK_UN)
            # One that was granted while the lock still said that somebody looks.
            if not held(files):
                return 0


def _taken(lock: IO[str]) -> bool:
    # Whoever asks whether a reaper is there holds it for a moment.
    deadline = time.monotonic() + TAKE_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        else:
            return True


def _reap_on(files: FaultFiles, linger: float) -> None:
    recorder = FaultRecorder(files)
    # By lease: when to try again, and how long to wait after that.
    retries: dict[str, tuple[float, float]] = {}
    # By lease: when its time is over by a clock that nobody can put back.
    ends: dict[str, float] = {}
    idle_since = time.monotonic()
    while time.monotonic() - idle_since < linger:
        leases = held(files)
        if leases:
            idle_since = time.monotonic()
        for lease in leases:
            ends.setdefault(lease.id, time.monotonic() + lease.until - lease.begins)
            due, pause = retries.get(lease.id, (ends[lease.id], RETRY_SECONDS))
            over = lease.id not in retries and time.time() >= lease.until
            if time.monotonic() < due and not over:
                continue
            try:
                if settle(files, lease, "expired"):
                    recorder.tell(lease, "expired")
                    logger.info("undone: %s on %s", lease.kind, lease.target)
            except (UndoProblem, OSError) as problem:
                logger.warning("%s", problem)
                again = time.monotonic() + pause
                retries[lease.id] = (again, min(2 * pause, LONGEST_RETRY_SECONDS))
        time.sleep(LOOK_SECONDS)
    recorder.close()


def is_reaping(files: FaultFiles) -> bool:
    """Whether a reaper is there."""
    try:
        with files.reaper.open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def ensure_reaper(files: FaultFiles, *, seconds: float = START_SECONDS) -> None:
    """Return once a reaper is there."""
    try:
        files.directory.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise unwritable(files.directory, problem) from problem
    deadline = time.monotonic() + seconds
    if is_reaping(files):
        return
    _start(files)
    while not is_reaping(files):
        if time.monotonic() > deadline:
            raise InfrastructureProblem(
                f"the process that undoes faults did not start within {seconds:g} s",
                remedy=f"see {files.log}; nothing was injected",
            )
        time.sleep(0.02)


class ReaperKeeper:
    """Starts a reaper where faults stand and none is there: it may have been killed too."""

    def __init__(self, files: FaultFiles) -> None:
        self._files = files
        self._due = 0.0

    def tend(self, now: float) -> None:
        """Cheap to call often; returns at once."""
        if now < self._due:
            return
        self._due = now + KEEP_SECONDS
        if any(self._files.leases.glob("*.json")) and not is_reaping(self._files):
            logger.warning("faults stand and nobody looks at their time: a reaper is started")
            _start(self._files)


def _start(files: FaultFiles) -> None:
    spawn(
        [sys.executable, "-m", f"{__package__}.reaper", "--state", str(files.state)],
        environ=_plain_environment(),
        log=files.log,
    )


def _plain_environment() -> dict[str, str]:
    """Ours without marks: whoever sweeps a fleet or a runner must spare the reaper."""
    marks = {"PROCTOR_RESIDENT", "PROCTOR_RUNNER", "PROCTOR_FAULT"}
    return {name: value for name, value in os.environ.items() if name not in marks}


def main() -> int:
    parser = argparse.ArgumentParser(description="Undo faults whose time is over.")
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--linger", type=float, default=LINGER_SECONDS)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        return reap(FaultFiles(state=arguments.state), linger=arguments.linger)
    except StateUnwritable as problem:
        logger.warning("%s", problem)
        return 6


if __name__ == "__main__":
    raise SystemExit(main())
