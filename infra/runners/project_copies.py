"""A campaign's project on a machine that does not have it: brought once, unpacked, set up, used.

The files come from the campaign's process, named by their content: what an earlier campaign brought
is used again while it is as it came. Each life of a campaign has its own say of what it uses, so
that one that is resumed runs what is there then. A copy is held while somebody uses it, and only
copies that nobody holds make room for others.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import ProjectUnavailable
from ..machine import this_machine
from .spec import ProjectFiles, RunnerSpec
from .stray_reaper import MARK, Owner

ARRIVAL_SECONDS = 600.0
# What was asked for and did not come is asked for again: a word can be lost.
ASK_SECONDS = 10.0
SETUP_SECONDS = 1800.0
LOOK_SECONDS = 0.2
# Copies that stay for the next campaign.
KEPT = 3
# What was left half-unpacked by a worker that died.
LEFTOVER_SECONDS = 3600.0
TAIL_BYTES = 4000


@dataclass(slots=True)
class _Copy:
    """What one life of a campaign uses here."""

    arrived: threading.Event = field(default_factory=threading.Event)
    root: Path | None = None
    problem: str = ""
    # The setup command failed: it would fail again.
    failure: ProjectUnavailable | None = None
    # Holds it against whoever makes room.
    hold: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    lock: threading.Lock = field(default_factory=threading.Lock)
    is_set_up: bool = False


class ProjectCopies:
    """The copies below one directory, which workers of one machine may share.

    A `user` is one life of a campaign: its id and its epoch.
    """

    def __init__(self, scratch: Path, *, worker: str) -> None:
        # Programs are told where they are without links.
        self._scratch = scratch.resolve()
        self._directory = self._scratch / "projects"
        self._worker = worker
        self._copies: dict[str, _Copy] = {}

    def is_needed(self, files: ProjectFiles | None) -> bool:
        """Whether the campaign's project is not here under its own path."""
        if files is None:
            return False
        here = files.machine == this_machine() and Path(files.root).is_dir()
        return files.always or not here

    def root(self, user: str) -> Path | None:
        copy = self._copies.get(user)
        return copy.root if copy is not None and copy.is_set_up else None

    def place(
        self,
        spec: RunnerSpec,
        user: str,
        *,
        python: str,
        ask: Callable[[], None],
        ended: threading.Event,
    ) -> Path:
        """Where the files are, once they are here; in a thread, for it waits.

        `ask` has the campaign send them; when `ended` is set nobody wants them any more.
        """
        files = spec.files
        assert files is not None, "who is placed has files to be brought"
        copy = self._copies.setdefault(user, _Copy())
        while not copy.lock.acquire(timeout=LOOK_SECONDS):
            # Another slot waits for them, or sets them up; it has the deadlines.
            if ended.is_set():
                raise self._unavailable(files, "nobody wants them any more")
        try:
            if copy.failure is not None:
                raise copy.failure
            if copy.root is None:
                self._await(copy, files, ask, ended)
            root = copy.root
            assert root is not None, "it has arrived"
            if not copy.is_set_up:
                try:
                    self._set_up(root, files, python, ended)
                except ProjectUnavailable as failure:
                    if not ended.is_set():
                        copy.failure = failure
                    raise
                copy.is_set_up = True
            return root
        finally:
            copy.lock.release()

    def _await(
        self, copy: _Copy, files: ProjectFiles, ask: Callable[[], None], ended: threading.Event
    ) -> None:
        copy.problem = ""
        copy.arrived.clear()
        deadline, due = time.monotonic() + ARRIVAL_SECONDS, 0.0
        while not copy.arrived.is_set():
            now = time.monotonic()
            if ended.is_set():
                raise self._unavailable(files, "nobody wants them any more")
            if now > deadline:
                raise self._unavailable(files, f"they did not come within {ARRIVAL_SECONDS:g} s")
            if now >= due:
                ask()
                due = now + ASK_SECONDS
            copy.arrived.wait(LOOK_SECONDS)
        if copy.root is None:
            raise self._unavailable(files, copy.problem)

    def _unavailable(self, files: ProjectFiles, why: str) -> ProjectUnavailable:
        return ProjectUnavailable(
            f"worker {self._worker} has not got the files of {files.root}: {why}",
            remedy='`ship = "never"` is for machines that share them under one path',
        )

    # Called in threads beside the worker's event loop ----------------------------------------

    def has(self, user: str, digest: str) -> bool:
        """Whether these files are here already, and as they came; they are used then."""
        copy = self._copies.get(user)
        # Nobody waits for them: the campaign is over, or had them before.
        return copy is None or copy.root is not None or self._find(copy, digest)

    def take(self, user: str, digest: str, archive: bytes) -> None:
        """Unpack what came; whole or not at all."""
        copy = self._copies.get(user)
        if copy is None or copy.root is not None:
            return
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            with (
                _held(self._directory / f"{digest}.lock", fcntl.LOCK_EX),
                tempfile.TemporaryDirectory(dir=self._directory, prefix="arriving-") as folder,
            ):
                # Brought to a neighbour meanwhile.
                if self._find(copy, digest):
                    return
                files = Path(folder, "home", "files")
                files.mkdir(parents=True)
                with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
                    packed.extractall(files, filter="tar")
                _note_how_it_came(files.parent)
                home = self._new_home(files.parent, digest)
        except (OSError, EOFError, zlib.error, tarfile.TarError) as problem:
            self.refuse(user, f"they cannot be unpacked ({problem})")
            return
        if not self._use(copy, home):
            self.refuse(user, "somebody took the copy away as it came")
        self._make_room()

    def refuse(self, user: str, why: str) -> None:
        """They will not come."""
        copy = self._copies.get(user)
        if copy is not None:
            copy.problem = why
            copy.arrived.set()

    def forget(self, campaign: str, *, below: float = float("inf")) -> None:
        """Its lives before that epoch are over; what they used may go when others need room."""
        for user in list(self._copies):
            name, _, epoch = user.rpartition("/")
            if name == campaign and int(epoch) < below:
                self._copies.pop(user).hold.close()

    # Helpers ----------------------------------------------------------------------------------

    def _find(self, copy: _Copy, digest: str) -> bool:
        """Use what is here, if it is as it came."""
        return any(
            _is_as_it_came(home) and self._use(copy, home)
            for home in sorted(self._directory.glob(f"{digest}-*"))
            if home.is_dir()
        )

    def _new_home(self, made: Path, digest: str) -> Path:
        """A place of its own: an earlier copy may have been changed by tests, and be in use."""
        number = 0
        while True:
            home = self._directory / f"{digest}-{number}"
            try:
                # Onto a directory that holds something nothing can be renamed.
                made.rename(home)
            except OSError:
                number += 1
                if number > 1000:
                    raise
            else:
                return home

    def _use(self, copy: _Copy, home: Path) -> bool:
        """Hold it; whether it was still there."""
        hold = contextlib.ExitStack()
        try:
            hold.enter_context(_held(home.with_suffix(".lock"), fcntl.LOCK_SH | fcntl.LOCK_NB))
            os.utime(home)
        except OSError:
            # Somebody makes room just now.
            hold.close()
            return False
        if not (home / "files").is_dir():
            hold.close()
            return False
        copy.hold.close()
        copy.hold = hold
        copy.root = home / "files"
        copy.arrived.set()
        return True

    def _set_up(self, root: Path, files: ProjectFiles, python: str, ended: threading.Event) -> None:
        """Run the project's command, once for each content of it and interpreter."""
        if not files.setup:
            return
        ready, log = root.parent / "ready.json", root.parent / "setup.log"
        wanted = {"setup": files.setup, "python": python}
        with self._turn(root.parent / "setup.lock", files, ended):
            if ready.exists() and json.loads(ready.read_text(encoding="utf-8")) == wanted:
                return
            ready.unlink(missing_ok=True)
            environment = {"PROCTOR_PYTHON": python, MARK: Owner.here(self._scratch).mark()}
            how = _run(files.setup, root, environment, log, ended)
            if how:
                said = log.read_bytes()[-TAIL_BYTES:].decode(errors="replace").strip()
                last = said.splitlines()[-1] if said else "it said nothing"
                raise ProjectUnavailable(
                    f"the setup command {files.setup!r} {how} on worker {self._worker}: {last}",
                    remedy=f"see {log} there, and mend `setup` in [tool.proctor]",
                )
            ready.write_text(json.dumps(wanted), encoding="utf-8")

    @contextlib.contextmanager
    def _turn(self, path: Path, files: ProjectFiles, ended: threading.Event) -> Generator[None]:
        """Another worker of this machine may be at it."""
        deadline = time.monotonic() + SETUP_SECONDS
        with contextlib.ExitStack() as stack:
            while True:
                try:
                    stack.enter_context(_held(path, fcntl.LOCK_EX | fcntl.LOCK_NB))
                    break
                except BlockingIOError:
                    if ended.wait(LOOK_SECONDS) or time.monotonic() > deadline:
                        raise self._unavailable(
                            files, "another worker of this machine sets them up still"
                        ) from None
            yield

    def _make_room(self) -> None:
        """Let go of the oldest copies that nobody holds, and of what the dead left."""
        homes: list[tuple[float, Path]] = []
        for each in self._directory.iterdir():
            with contextlib.suppress(FileNotFoundError):
                at = each.stat().st_mtime
                if (each / "files").is_dir():
                    homes.append((at, each))
                elif each.is_dir() and time.time() - at > LEFTOVER_SECONDS:
                    shutil.rmtree(each, ignore_errors=True)
        for _, home in sorted(homes, reverse=True)[KEPT:]:
            with (
                contextlib.suppress(OSError),
                _held(home.with_suffix(".lock"), fcntl.LOCK_EX | fcntl.LOCK_NB),
            ):
                # At once: half a copy must not be taken for one.
                gone = home.with_name(f"going-{home.name}-{os.getpid()}")
                home.rename(gone)
                shutil.rmtree(gone, ignore_errors=True)


def _note_how_it_came(home: Path) -> None:
    (home / "manifest.json").write_text(json.dumps(_stamps(home / "files")), encoding="utf-8")


def _is_as_it_came(home: Path) -> bool:
    """Whether tests or a setup command changed or removed what had come; more may be there."""
    try:
        came = json.loads((home / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    there = _stamps(home / "files")
    return all(there.get(name) == stamp for name, stamp in came.items())


def _stamps(files: Path) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for directory, _, names in os.walk(files):
        for name in names:
            path = os.path.join(directory, name)  # noqa: PTH118 - ten thousand times
            with contextlib.suppress(OSError):
                state = os.lstat(path)
                relative = os.fsencode(os.path.relpath(path, files)).decode("latin-1")
                found[relative] = [state.st_size, state.st_mtime_ns, state.st_mode]
    return found


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


@contextlib.contextmanager
def _held(path: Path, how: int) -> Generator[None]:
    """Hold a lock file; the kernel lets go of it when its holder dies."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, how)
        yield
    finally:
        os.close(file)
