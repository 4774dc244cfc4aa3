"""A campaign's project on a machine that does not have it: brought once, unpacked, set up, used.

The files come from the campaign's process, named by their content: what an earlier campaign brought
is used again. A copy is held while a campaign of this worker uses it, and only copies that nobody
holds make room for others.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import io
import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar, cast

from ..errors import InfrastructureProblem
from .spec import ProjectFiles, RunnerSpec

# In the environment, where one kernel is shared by what should count as several machines.
MACHINE = "PROCTOR_MACHINE"
ARRIVAL_SECONDS = 300.0
SETUP_SECONDS = 1800.0
LOOK_SECONDS = 0.2
# Copies that stay for the next campaign.
KEPT = 3
TAIL_BYTES = 4000
_READY = "ready"

Value = TypeVar("Value")


@functools.cache
def this_machine() -> str:
    """What is the same for all that see the same files, and for nobody else."""
    named = os.environ.get(MACHINE, "")
    if named:
        return named
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return os.uname().nodename


@dataclass(slots=True)
class _Copy:
    """What one campaign uses here."""

    arrived: threading.Event = field(default_factory=threading.Event)
    root: Path | None = None
    problem: str = ""
    # Holds it against whoever makes room.
    hold: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    lock: threading.Lock = field(default_factory=threading.Lock)
    is_set_up: bool = False


class ProjectCopies:
    """The copies below one directory, which workers of one machine may share."""

    def __init__(self, scratch: Path, *, worker: str) -> None:
        self._directory = scratch / "projects"
        self._worker = worker
        self._copies: dict[str, _Copy] = {}

    def is_needed(self, files: ProjectFiles | None) -> bool:
        """Whether the campaign's project is not here under its own path."""
        if files is None:
            return False
        here = files.machine == this_machine() and Path(files.root).is_dir()
        return files.always or not here

    def root(self, campaign: str) -> Path | None:
        copy = self._copies.get(campaign)
        return copy.root if copy is not None and copy.is_set_up else None

    def place(
        self,
        spec: RunnerSpec,
        campaign: str,
        *,
        python: str,
        ask: Callable[[], None],
        ended: threading.Event,
    ) -> RunnerSpec:
        """The spec for this machine, once the files are here; in a thread, for it waits.

        `ask` has the campaign send them; when `ended` is set nobody wants them any more.
        """
        files = spec.files
        assert files is not None, "who is placed has files to be brought"
        copy = self._copies.setdefault(campaign, _Copy())
        with copy.lock:
            if copy.root is None:
                ask()
                deadline = time.monotonic() + ARRIVAL_SECONDS
                while not (copy.arrived.is_set() or ended.is_set() or time.monotonic() > deadline):
                    copy.arrived.wait(LOOK_SECONDS)
                if copy.problem or not copy.arrived.is_set():
                    why = copy.problem or f"they did not come within {ARRIVAL_SECONDS:g} s"
                    self._copies.pop(campaign, None)
                    raise InfrastructureProblem(
                        f"worker {self._worker} has not got the files of {files.root}: {why}",
                        remedy='`ship = "never"` is for machines that share them under one path',
                    )
            assert copy.root is not None, "it has arrived"
            if not copy.is_set_up:
                self._set_up(copy.root, files, python, ended)
                copy.is_set_up = True
        return moved(spec, copy.root)

    # Called on the worker's event loop, or in a thread of it ---------------------------------

    def has(self, campaign: str, digest: str) -> bool:
        """Whether these files are here already; the campaign uses them then."""
        home = self._directory / digest
        if not (home / "files").is_dir():
            return False
        self._use(campaign, home)
        return True

    def take(self, campaign: str, digest: str, archive: bytes) -> None:
        """Unpack what came; whole or not at all."""
        home = self._directory / digest
        try:
            home.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self._directory, prefix="arriving-") as folder:
                with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
                    packed.extractall(folder, filter="tar")
                with contextlib.suppress(OSError):
                    # Another worker of this machine may have been quicker: it is the same.
                    Path(folder).rename(home / "files")
                    Path(folder).mkdir()
        except (OSError, tarfile.TarError) as problem:
            self.refuse(campaign, f"they cannot be unpacked ({problem})")
            return
        self._use(campaign, home)
        self._make_room()

    def refuse(self, campaign: str, why: str) -> None:
        """They will not come."""
        copy = self._copies.get(campaign)
        if copy is not None:
            copy.problem = why
            copy.arrived.set()

    def forget(self, campaign: str) -> None:
        """The campaign is over; its copy may go when others need the room."""
        copy = self._copies.pop(campaign, None)
        if copy is not None:
            copy.hold.close()

    # Helpers ----------------------------------------------------------------------------------

    def _use(self, campaign: str, home: Path) -> None:
        copy = self._copies.setdefault(campaign, _Copy())
        if copy.root is None:
            copy.hold.enter_context(_held(home, fcntl.LOCK_SH))
            copy.root = home / "files"
            os.utime(home)
        copy.arrived.set()

    def _set_up(self, root: Path, files: ProjectFiles, python: str, ended: threading.Event) -> None:
        """Run the project's command, once for each content of it."""
        if not files.setup:
            return
        ready, log = root.parent / _READY, root.parent / "setup.log"
        with _held(root.parent / "setup", fcntl.LOCK_EX):
            if ready.exists() and ready.read_text(encoding="utf-8") == files.setup:
                return
            how = _run(files.setup, root, {"PROCTOR_PYTHON": python}, log, ended)
            if how:
                said = log.read_bytes()[-TAIL_BYTES:].decode(errors="replace").strip()
                last = said.splitlines()[-1] if said else "it said nothing"
                raise InfrastructureProblem(
                    f"the setup command {files.setup!r} {how} on worker {self._worker}: {last}",
                    remedy=f"see {log} there, and mend `setup` in [tool.proctor]",
                )
            ready.write_text(files.setup, encoding="utf-8")

    def _make_room(self) -> None:
        """Let go of the oldest copies that nobody holds."""
        homes = [each for each in self._directory.iterdir() if (each / "files").is_dir()]
        homes.sort(key=lambda each: each.stat().st_mtime, reverse=True)
        for home in homes[KEPT:]:
            with contextlib.suppress(BlockingIOError):
                with _held(home, fcntl.LOCK_EX | fcntl.LOCK_NB):
                    shutil.rmtree(home, ignore_errors=True)
                home.with_suffix(".lock").unlink(missing_ok=True)


def _run(
    command: str, root: Path, environment: Mapping[str, str], log: Path, ended: threading.Event
) -> str:
    """Run it to its end; how it failed, if it did."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["/bin/sh", "-c", command],
            cwd=root,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # All that it starts ends with it.
            start_new_session=True,
        )
    deadline = time.monotonic() + SETUP_SECONDS
    while not ended.is_set() and time.monotonic() < deadline:
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = process.wait(LOOK_SECONDS)
            return f"ended with {code}" if code else ""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return "was ended" if ended.is_set() else f"took more than {SETUP_SECONDS:g} s"


def moved(spec: RunnerSpec, root: Path) -> RunnerSpec:
    """The same for a copy of the project: what stood below its root stands below the copy's."""
    assert spec.files is not None, "who moves has files"
    here = (spec.files.root, str(root))
    own = _moved_text(spec.python, *here)
    return replace(
        spec,
        directory=_moved_text(spec.directory, *here),
        arguments=tuple(_moved_text(each, *here) for each in spec.arguments),
        environment={name: _moved_text(each, *here) for name, each in spec.environment.items()},
        # An environment inside the project was made anew by its setup command, or it is nowhere.
        python=own if Path(own).exists() else "",
    )


def told_as(value: Value, copy: Path, root: str) -> Value:
    """What a runner said of the copy, said of the project where the campaign knows it."""
    if isinstance(value, str):
        return cast("Value", value.replace(str(copy), root))
    if isinstance(value, Mapping):
        given = cast("Mapping[str, Any]", value)
        return cast("Value", {key: told_as(each, copy, root) for key, each in given.items()})
    if isinstance(value, list | tuple):
        items = cast("list[Any]", value)
        return cast("Value", [told_as(each, copy, root) for each in items])
    return value


def _moved_text(text: str, root: str, copy: str) -> str:
    if text == root or text.startswith(f"{root}/"):
        return copy + text[len(root) :]
    return text


@contextlib.contextmanager
def _held(path: Path, how: int) -> Generator[None]:
    """Hold a lock beside the path; the kernel lets go of it when its holder dies."""
    file = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, how)
        yield
    finally:
        os.close(file)
