"""A child process of ours: dies with us, is heard over pipes, is ended with its whole tree."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import os
import resource
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import psutil

from .spec import Message
from .stray_reaper import MARK, Owner
from .usage import tree_of

# Room for records that nobody has read yet; the kernel's default of 64 KiB makes writers wait. An
# allowance that all pipes of a user share pays for it: commands do without.
PIPE_BYTES = 1 << 20
# Only a process in uninterruptible I/O outlives SIGKILL; nobody waits for it longer than this.
KILL_SECONDS = 10.0
# Folders whose frames every case stands on.
MACHINERY = ("/_pytest/", "/pluggy/", f"{Path(__file__).parents[1] / 'session'}{os.sep}")
# A real-time signal where there are any: tests use SIGUSR1 themselves.
STACK_SIGNAL = int(getattr(signal, "SIGRTMAX", signal.SIGUSR1)) - (
    3 if hasattr(signal, "SIGRTMAX") else 0
)


@functools.cache
def _spawner() -> ThreadPoolExecutor:
    """One thread that lives as long as this process and starts all children.

    The kernel sends the parent-death signal when the *thread* that started the child ends, and
    threads of a pool may end at any time.
    """
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="proctor-spawn")


def _plain(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-8", "backslashreplace").decode("utf-8")
        case list():
            return [_plain(each) for each in cast("list[Any]", value)]
        case dict():
            pairs = cast("dict[str, Any]", value).items()
            return {_plain(key): _plain(each) for key, each in pairs}
        case _:
            return value


class Child:
    """One process with its pipes and files, in a session of its own."""

    def __init__(
        self,
        *,
        command: Sequence[str],
        directory: str | Path,
        environment: Mapping[str, str],
        scratch: Path | None = None,
        decode: Callable[[bytes], Message] = json.loads,
    ) -> None:
        """Start it; `{wire}` before the settings in the command adds its descriptors to them.

        Its output goes to files without a name, in `scratch`: nothing is left behind, whatever
        kills us.
        """
        self.decode = decode
        self.mark = Owner.here(scratch).mark()
        self.stdout, self.stderr, self.stacks, *self.captured = (
            tempfile.TemporaryFile(buffering=0, dir=scratch)  # noqa: SIM115 - closed by close()
            for _ in range(5)
        )
        # pytest's capture rewinds the captured ones, so those are not opened for appending.
        for file in (self.stdout, self.stderr, self.stacks):
            # Several processes write: each at the end, wherever that is by then.
            flags = fcntl.fcntl(file.fileno(), fcntl.F_GETFL)
            fcntl.fcntl(file.fileno(), fcntl.F_SETFL, flags | os.O_APPEND)
        command_end, self.commands = os.pipe()
        self.records, record_end = os.pipe()
        self.bell, bell_end = os.pipe()
        theirs = (command_end, record_end, bell_end)
        wire = {
            "commands": command_end,
            "records": record_end,
            "bell": bell_end,
            "stacks": self.stacks.fileno(),
            "captured": [file.fileno() for file in self.captured],
            "signal": STACK_SIGNAL,
            "parent": os.getpid(),
        }
        with contextlib.suppress(OSError, AttributeError):
            # Above the user's allowance for pipes the kernel refuses; the default works too.
            fcntl.fcntl(record_end, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        os.set_blocking(bell_end, False)
        for descriptor in (self.commands, self.records, self.bell):
            os.set_blocking(descriptor, False)
        try:
            self.process: subprocess.Popen[bytes] = (
                _spawner()
                .submit(
                    subprocess.Popen,
                    [_filled(part, wire) for part in command],
                    cwd=directory,
                    env={**environment, MARK: self.mark},
                    stdin=subprocess.DEVNULL,
                    stdout=self.stdout,
                    stderr=self.stderr,
                    pass_fds=(
                        *theirs,
                        self.stacks.fileno(),
                        *(file.fileno() for file in self.captured),
                    ),
                    start_new_session=True,
                )
                .result()
            )
        except BaseException:
            for descriptor in (*theirs, self.commands, self.records, self.bell):
                os.close(descriptor)
            self._close_files()
            raise
        for descriptor in theirs:
            os.close(descriptor)
        self.pid = self.process.pid
        self.death = _pidfd(self.pid)
        self.poller = select.poll()
        self.poller.register(self.bell, select.POLLIN)
        if self.death >= 0:
            self.poller.register(self.death, select.POLLIN)
        self.deaf = False
        self.partial = b""
        self.unsent = b""
        self.known: dict[int, psutil.Process] = {}
        # What it and those it waited for used, once it is over.
        self.usage: resource.struct_rusage | None = None
        self.closed = False

    # -- talking ------------------------------------------------------------------------

    def send(self, message: Message) -> None:
        self.unsent += json.dumps(message).encode() + b"\n"
        self.pump()

    def pump(self) -> None:
        """Write what the pipe takes; never wait for a child that may not read."""
        while self.unsent:
            try:
                self.unsent = self.unsent[os.write(self.commands, self.unsent[: 1 << 16]) :]
            except BlockingIOError:
                return
            except BrokenPipeError:
                # Its death is noticed where deaths are.
                self.unsent = b""

    def wait(self, seconds: float) -> None:
        """Until the bell rings, the child ends, it takes more of a command, or the time is over."""
        is_sending = bool(self.unsent)
        if is_sending:
            self.poller.register(self.commands, select.POLLOUT)
        awake = self.poller.poll(max(0.0, seconds) * 1000)
        if is_sending:
            self.poller.unregister(self.commands)
            self.pump()
        if awake:
            with contextlib.suppress(BlockingIOError):
                if not os.read(self.bell, 4096) and not self.deaf:
                    # It closed its end: a poll would return at once for ever.
                    self.deaf = True
                    self.poller.unregister(self.bell)

    def received(self) -> list[Message]:
        """All whole records that have arrived."""
        chunks = [self.partial]
        while True:
            try:
                chunk = os.read(self.records, PIPE_BYTES)
            except BlockingIOError:
                break
            if not chunk:
                break
            chunks.append(chunk)
        if len(chunks) == 1:
            return []
        *lines, self.partial = b"".join(chunks).split(b"\n")
        return [self._record(line) for line in lines]

    def _record(self, line: bytes) -> Message:
        if b"\\ud" in line:
            # A lone surrogate, of a property or a file's name, is more than Dask's and orjson's
            # strings hold: nobody would hear of the record.
            return _plain(json.loads(line))
        try:
            return self.decode(line)
        except ValueError:
            # NaN, which is no JSON to anybody but Python.
            return json.loads(line)

    # -- looking ------------------------------------------------------------------------

    @property
    def exit_code(self) -> int | None:
        """Negative for a signal; None while it lives."""
        if self.process.returncode is None:
            # Not poll(): only wait4 says what the process used.
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                self.usage = usage
                self.process.returncode = os.waitstatus_to_exitcode(status)
        return self.process.returncode

    def tree(self, pid: int | None = None) -> list[psutil.Process]:
        """The living processes below, remembered so that none escapes the end by daemonising."""
        processes = tree_of(pid or self.pid)
        for process in processes:
            self.known[process.pid] = process
        return processes

    def sizes(self) -> tuple[int, int]:
        return os.fstat(self.stdout.fileno()).st_size, os.fstat(self.stderr.fileno()).st_size

    def output_since(self, sizes: Sequence[int], limit: int) -> list[list[str]]:
        """What it captured and did not report, and what its files hold beyond these sizes."""
        sources = [
            ("stdout", self.captured[0], 0),
            ("stderr", self.captured[1], 0),
            ("stdout", self.stdout, sizes[0]),
            ("stderr", self.stderr, sizes[1]),
        ]
        texts: dict[str, str] = {}
        for name, file, start in sources:
            texts[name] = texts.get(name, "") + ends_of(file.fileno(), start, limit)
        return [[name, text] for name, text in texts.items() if text.strip()]

    def dump_stacks(self, pid: int | None = None, seconds: float = 2.0) -> str:
        """Ask for the stacks of all threads, and wait briefly until they have been written."""
        before = os.fstat(self.stacks.fileno()).st_size
        try:
            os.kill(pid or self.pid, STACK_SIGNAL)
        except ProcessLookupError:
            return ""
        deadline = time.monotonic() + seconds
        size = before
        while time.monotonic() < deadline:
            time.sleep(0.02)
            now = os.fstat(self.stacks.fileno()).st_size
            if now == size and now > before:
                break
            size = now
        return without_machinery(ends_of(self.stacks.fileno(), before, 1 << 18))

    # -- ending -------------------------------------------------------------------------

    def kill(self) -> None:
        """End it and everything it ever started, and wait until it is gone."""
        self.tree()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self.sweep()
        deadline = time.monotonic() + KILL_SECONDS
        while self.exit_code is None and time.monotonic() < deadline:
            self.wait(0.05)

    def sweep(self) -> None:
        """End what is left of its tree: known descendants, its session, all that bear its mark."""
        for _ in range(10):
            strays = [*self._marked(), *self._known()]
            if not strays:
                return
            for process in strays:
                with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                    process.kill()
            psutil.wait_procs(strays, timeout=0.5)

    def _known(self) -> list[psutil.Process]:
        return [
            process
            for process in self.known.values()
            # Compares the creation time too: a reused pid is another process.
            if process.pid != self.pid and process.is_running() and not _is_zombie(process)
        ]

    def _marked(self) -> list[psutil.Process]:
        entry = f"{MARK}={self.mark}".encode()
        found: list[psutil.Process] = []
        for pid in psutil.pids():
            if pid == self.pid:
                continue
            with contextlib.suppress(OSError, psutil.NoSuchProcess):
                if os.getsid(pid) == self.pid or entry in _environment(pid):
                    process = psutil.Process(pid)
                    if not _is_zombie(process):
                        found.append(process)
        return found

    def close(self) -> None:
        """End it if it lives, and what is left of its tree; give back all it held here."""
        if self.closed:
            return
        self.closed = True
        self.kill()
        for descriptor in (self.commands, self.records, self.bell, self.death):
            if descriptor >= 0:
                os.close(descriptor)
        self._close_files()

    def _close_files(self) -> None:
        for file in (self.stdout, self.stderr, self.stacks, *self.captured):
            file.close()


def ends_of(descriptor: int, start: int, limit: int) -> str:
    """Text of a file from `start`; of a long one head and tail, and how much was left out."""
    size = os.fstat(descriptor).st_size
    if size < start:
        # It was emptied meanwhile.
        start = 0
    length = size - start
    if length <= limit:
        return os.pread(descriptor, length, start).decode("utf-8", "replace")
    half = limit // 2
    head = os.pread(descriptor, half, start).decode("utf-8", "replace")
    tail = os.pread(descriptor, half, size - half).decode("utf-8", "replace")
    return f"{head}\n[... {length - 2 * half} bytes left out ...]\n{tail}"


def without_machinery(stacks: str) -> str:
    """Each thread's stack without the frames of pytest and ours that every case stands on."""
    kept: list[str] = []
    for line in reversed(stacks.splitlines()):
        if not kept or not kept[-1].startswith("  File "):
            # Still at the outer end of a thread's stack; the newest frame stays in any case.
            machinery = any(part in line for part in MACHINERY)
            if line.startswith("  File ") and machinery:
                continue
        kept.append(line)
    return "\n".join(reversed(kept)) + "\n" if kept else ""


def death(code: int) -> str:
    """How a process ended."""
    if code >= 0:
        return f"left by os._exit({code})"
    with contextlib.suppress(ValueError):
        return f"killed by {signal.Signals(-code).name}"
    return f"killed by signal {-code}"


def _filled(part: str, wire: Mapping[str, object]) -> str:
    """The command's settings with the descriptors added, when this part is where they go."""
    if not part.startswith("{wire}"):
        return part
    return json.dumps({**json.loads(part.removeprefix("{wire}") or "{}"), **wire})


def _pidfd(pid: int) -> int:
    try:
        return os.pidfd_open(pid)
    except (OSError, AttributeError):
        # Old kernels: the tick notices the end a little later.
        return -1


def _environment(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def _is_zombie(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
