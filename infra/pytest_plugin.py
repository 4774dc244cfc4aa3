"""The half of the runner that lives in the user's interpreter: a warm pytest session on commands.

Executed by path as `python pytest_plugin.py SETTINGS [pytest arguments]`; SETTINGS is a JSON
object with the descriptors to talk over. It needs pytest 7.0 or newer and the standard library of
Python 3.9 or newer, and must never import Proctor: the user's environment has none.

One file on purpose, although it is long: it is what a worker hands to a foreign interpreter.
"""

# os's functions are several times faster than pathlib's, and some run for each case.
# ruff: noqa: PTH100, PTH109, PTH112, PTH118, PTH120, PTH123

from __future__ import annotations

import sys

if __name__ == "__main__" and sys.path and sys.path[0] and __file__.startswith(sys.path[0]):
    # Python puts this file's folder first on the path: our modules would hide the standard
    # library's (`secrets`) and the user's. Before any other import.
    del sys.path[0]

import contextlib
import fcntl
import json
import os
import re
import resource
import select
import signal
import socket
import time
import traceback
import warnings
import zlib
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

# Exit codes of ours, told apart from what a test may choose by being unusual.
EXIT_WIRE_LOST = 86
EXIT_NO_PYTEST = 87


def import_cache() -> Any:
    """The module of that name beside this file, with its cache, when the settings name a folder."""
    place = json.loads(sys.argv[1]).get("import_cache", "")
    if not place or not sys.dont_write_bytecode:
        return None
    from importlib import util

    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "import_cache.py")
    spec = util.spec_from_file_location("_proctor_import_cache", path)
    if spec is None or spec.loader is None or not os.path.isdir(place):
        return None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    cache = module.install(place)
    return (module, cache) if cache else None


# pytest itself may have no compiled files either: before it is imported.
CACHE = import_cache() if __name__ == "__main__" else None

try:
    import pytest
except Exception as problem:
    # Also a pytest that is there but broken.
    if __name__ != "__main__":
        raise
    said = {"k": "problem", "what": "no pytest", "text": f"{type(problem).__name__}: {problem}"}
    os.write(json.loads(sys.argv[1])["records"], (json.dumps(said) + "\n").encode())
    raise SystemExit(EXIT_NO_PYTEST) from problem

# Records are written at least this often while cases are found; each case flushes by itself.
FLUSH_SECONDS = 0.02
FLUSH_BYTES = 64 * 1024
# With more than this in the pipe the parent is woken early: its pipe holds about 1 MiB.
RING_BYTES = 256 * 1024
# A session without capture (-s) writes into our files; beyond this they are emptied.
STRAY_OUTPUT_BYTES = 1024 * 1024
MESSAGE_LENGTH = 500
PHASES = ("setup", "call", "teardown")

Message = dict[str, Any]


# --- the wire -------------------------------------------------------------------------------


class Wire:
    """Commands in, records out; both JSON, one object a line.

    Records go into a pipe nobody sleeps on: the parent looks every few milliseconds and is woken
    by the bell, a second pipe, only when it must act at once. A record is thus safe from the
    death of this process for the price of one write, and costs nobody a wake-up.
    """

    def __init__(self, *, commands: int, records: int, bell: int) -> None:
        self.commands = out_of_reach(commands)
        self.records = out_of_reach(records)
        self.bell = out_of_reach(bell)
        self.identity = os.fstat(self.records).st_ino
        self.pid = os.getpid()
        self.disowned = False
        # True while this process forks a child of its own that keeps the wire (isolate mode).
        self.sharing = False
        self.verdict_of_stranger = 0
        self.poller = select.poll()
        self.poller.register(self.commands, select.POLLIN)
        self.incoming = b""
        self.outgoing: list[str] = []
        self.outgoing_bytes = 0
        self.unrung_bytes = 0
        self.flushed = time.monotonic()
        # ensure_ascii keeps lone surrogates harmless; NaN passes as Python writes it.
        self.encode = json.JSONEncoder(
            ensure_ascii=True, separators=(",", ":"), check_circular=False, default=repr
        ).encode
        os.register_at_fork(after_in_child=self.disown)

    def disown(self) -> None:
        """In a process that a test forked: it must never speak for us."""
        if self.sharing:
            self.pid = os.getpid()
            return
        self.disowned = True
        self.outgoing.clear()
        for descriptor in (self.commands, self.records, self.bell):
            with contextlib.suppress(OSError):
                os.close(descriptor)

    def leave_if_stranger(self) -> None:
        """End a forked child of a test that came back into our loop instead of exiting."""
        # The pid catches forks that Python does not know of.
        if self.disowned or os.getpid() != self.pid:
            os._exit(self.verdict_of_stranger)

    def put(self, message: Message) -> None:
        line = self.encode(message)
        self.outgoing.append(line)
        self.outgoing_bytes += len(line)

    def send(self, message: Message) -> None:
        self.put(message)
        self.flush(ring=True)

    def stream(self, message: Message) -> None:
        """Put, and flush now and then."""
        self.put(message)
        if self.outgoing_bytes > FLUSH_BYTES or time.monotonic() - self.flushed > FLUSH_SECONDS:
            self.flush()

    def flush(self, *, ring: bool = False) -> None:
        self.leave_if_stranger()
        if self.outgoing:
            self.outgoing.append("")
            data = "\n".join(self.outgoing).encode("ascii")
            self.outgoing = []
            self.outgoing_bytes = 0
            self.unrung_bytes += len(data)
            self.write(data)
            self.flushed = time.monotonic()
        if ring or self.unrung_bytes > RING_BYTES:
            self.unrung_bytes = 0
            # A full bell is a bell that will be heard.
            with contextlib.suppress(BlockingIOError):
                os.write(self.bell, b"!")

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            # A test may have closed every descriptor and opened a file that got our number.
            if os.fstat(self.records).st_ino != self.identity:
                os._exit(EXIT_WIRE_LOST)
            while view:
                if len(view) > RING_BYTES:
                    with contextlib.suppress(BlockingIOError):
                        os.write(self.bell, b"!")
                view = view[os.write(self.records, view[:RING_BYTES]) :]
        except OSError:
            os._exit(EXIT_WIRE_LOST)

    def receive(self, *, wait: bool) -> Message | None:
        """The next command; None when there is none yet, or when the parent is gone."""
        self.leave_if_stranger()
        while b"\n" not in self.incoming:
            if not wait and not self.poller.poll(0):
                return None
            try:
                chunk = os.read(self.commands, 1 << 20)
            except OSError:
                os._exit(EXIT_WIRE_LOST)
            if not chunk:
                return {"cmd": "exit"}
            self.incoming += chunk
        line, self.incoming = self.incoming.split(b"\n", 1)
        command: Message = json.loads(line)
        return command


def out_of_reach(descriptor: int) -> int:
    """Move a descriptor to a high number, where `closerange(3, 256)` of a test does not get it."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    lowest = 200 if limit < 256 else min(limit, 4096) - 48
    try:
        moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, lowest)
    except OSError:
        os.set_inheritable(descriptor, False)
        return descriptor
    os.close(descriptor)
    return moved


# --- text ---------------------------------------------------------------------------------


# What plain_text makes of a byte of a file's name that is no UTF-8.
SURROGATE = re.compile(r"\\u(dc[89a-f][0-9a-f])")


def plain_text(text: str) -> str:
    """Without lone surrogates, which are no Unicode and break every stricter JSON library."""
    if text.isascii():
        return text
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def shortened(text: str, limit: int) -> str:
    """At most about `limit` bytes: the head, the tail, and how much was left out between them."""
    if len(text) <= limit // 4:
        return plain_text(text)
    total = len(text) if text.isascii() else len(text.encode("utf-8", "backslashreplace"))
    if total <= limit:
        return plain_text(text)
    # Cut characters first, so that a text of gigabytes is never copied as a whole.
    half = limit // 2
    head = text[:half].encode("utf-8", "backslashreplace")[:half].decode("utf-8", "ignore")
    tail = text[-half:].encode("utf-8", "backslashreplace")[-half:].decode("utf-8", "ignore")
    left_out = total - len(head.encode()) - len(tail.encode())
    return f"{head}\n[... {left_out} bytes left out ...]\n{tail}"


def headline(text: str) -> str:
    """The first line that says something, short enough for a table."""
    for line in text.splitlines():
        if line.strip():
            return plain_text(line.strip()[:MESSAGE_LENGTH])
    return ""


def plain_value(value: object, depth: int = 0) -> object:
    """A marker's argument as JSON has it, or its repr."""
    if isinstance(value, int) and abs(value) >= 2**63:
        # More than most JSON libraries and Dask's msgpack take.
        return str(value)
    if value is None or isinstance(value, (str, int, float, bool)):
        return plain_text(value) if isinstance(value, str) else value
    if depth < 4 and isinstance(value, (list, tuple, set, frozenset)):
        return [plain_value(part, depth + 1) for part in value]
    if depth < 4 and isinstance(value, dict):
        return {str(key): plain_value(part, depth + 1) for key, part in value.items()}
    try:
        return repr(value)[:MESSAGE_LENGTH]
    except Exception:  # noqa: BLE001 - a user's repr may raise anything
        return f"<{type(value).__name__}>"


# --- usage --------------------------------------------------------------------------------


class Meter:
    """What one case uses, by the difference of cheap counters; zeros where /proc is missing."""

    # Kernels print the process's status slowly (about 20 us): short cases keep the last peak.
    WORTH_A_LOOK_SECONDS = 0.002

    def __init__(self) -> None:
        self.page = resource.getpagesize()
        # ru_maxrss counts bytes on macOS, KiB elsewhere.
        self.unit = 1 if sys.platform == "darwin" else 1024
        self.open_files()

    def open_files(self) -> None:
        """Anew after each fork: a descriptor of /proc/self stays with the process that opened."""
        self.clear = self.opened("/proc/self/clear_refs", os.O_WRONLY)
        self.status = self.opened("/proc/self/status", os.O_RDONLY)
        self.statm = self.opened("/proc/self/statm", os.O_RDONLY)
        self.io = self.opened("/proc/self/io", os.O_RDONLY)

    def opened(self, path: str, flags: int) -> int:
        try:
            return out_of_reach(os.open(path, flags))
        except OSError:
            return -1

    def begin(self) -> None:
        if self.clear >= 0:
            try:
                # Resets the peak only (the "5"), no page flags: cheap.
                os.write(self.clear, b"5")
            except OSError:
                self.clear = -1
        self.own = resource.getrusage(resource.RUSAGE_SELF)
        self.children = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.transferred = self.transfers()
        self.started = time.time()
        self.clock = time.perf_counter()

    def end(self) -> Message:
        wall = time.perf_counter() - self.clock
        own = resource.getrusage(resource.RUSAGE_SELF)
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        read, written = self.transfers()
        cpu = (
            own.ru_utime
            + own.ru_stime
            - self.own.ru_utime
            - self.own.ru_stime
            + children.ru_utime
            + children.ru_stime
            - self.children.ru_utime
            - self.children.ru_stime
        )
        peak = self.peak(wall, own.ru_maxrss)
        if children.ru_maxrss > self.children.ru_maxrss:
            # The largest child so far belongs to this case.
            peak = max(peak, children.ru_maxrss * self.unit)
        return {
            "t0": self.started,
            "t1": self.started + wall,
            "cpu": round(max(cpu, 0.0), 6),
            "peak": peak,
            "read": read - self.transferred[0],
            "write": written - self.transferred[1],
        }

    def peak(self, wall: float, largest_ever: int) -> int:
        if self.clear < 0 or self.status < 0:
            return largest_ever * self.unit
        try:
            if wall < self.WORTH_A_LOOK_SECONDS:
                return int(os.pread(self.statm, 256, 0).split()[1]) * self.page
            # Not ru_maxrss: that one starts with the peak of the process that spawned us.
            text = os.pread(self.status, 8192, 0)
            start = text.find(b"VmHWM:")
            return int(text[start + 6 : text.find(b"kB", start)]) * 1024
        except (OSError, ValueError, IndexError):
            return largest_ever * self.unit

    def transfers(self) -> tuple[int, int]:
        if self.io < 0:
            return 0, 0
        try:
            lines = os.pread(self.io, 1024, 0).split(b"\n")
            return int(lines[4].split()[1]), int(lines[5].split()[1])
        except (OSError, ValueError, IndexError):
            return 0, 0


# --- one case -----------------------------------------------------------------------------


class Record:
    """Gathers the reports of one case into the one record that is sent."""

    def __init__(self, case: str, limit: int) -> None:
        self.case = case
        self.limit = limit
        self.shared = 0.0
        self.notes: list[str] = []
        self.reruns = 0
        self.forget()

    def forget(self) -> None:
        self.outcome = ""
        self.message = ""
        self.failed_subtests = 0
        self.seconds = dict.fromkeys(PHASES, 0.0)
        self.tracebacks: list[tuple[str, str]] = []
        self.sections: Sequence[tuple[str, str]] = ()
        self.properties: Sequence[tuple[str, object]] = ()

    def add(self, report: Any) -> None:
        if report.outcome == "rerun":
            # pytest-rerunfailures ran it again by itself: like plain pytest, the last one counts.
            self.reruns += 1
            self.forget()
            return
        if hasattr(report, "context"):
            self.add_subtest(report)
            return
        when = report.when
        if when in self.seconds:
            self.seconds[when] = report.duration
        # Every report repeats the sections of the phases before it.
        self.sections = report.sections or self.sections
        self.properties = report.user_properties
        expected = getattr(report, "wasxfail", None)
        if report.failed:
            self.add_failure(report, when)
        elif report.skipped:
            if self.outcome in ("", "passed"):
                self.outcome = "skipped" if expected is None else "xfailed"
                self.message = self.reason(report) if expected is None else headline(str(expected))
        elif when == "call" and not self.outcome:
            self.outcome = "passed" if expected is None else "xpassed"
            self.message = "" if expected is None else headline(str(expected))

    def add_failure(self, report: Any, when: str) -> None:
        text = shortened(longrepr_text(report), self.limit)
        self.tracebacks.append((when, text))
        if when == "call":
            self.outcome = "failed"
            self.message = crash_line(report, text)
        elif self.outcome == "failed":
            # Plain pytest counts a failure and an error here; a case has one outcome.
            self.notes.append(f"{when} failed too: {crash_line(report, text)}")
        else:
            self.outcome = "error"
            self.message = f"{when} failed: {crash_line(report, text)}"

    def add_subtest(self, report: Any) -> None:
        """A failed subtest fails its case; passed and skipped ones say nothing about it.

        pytest 9 fails the case by itself afterwards; the older pytest-subtests leaves it passed
        and fails the session, which has no place in a record per case.
        """
        if not report.failed:
            return
        self.failed_subtests += 1
        text = shortened(longrepr_text(report), self.limit)
        self.tracebacks.append((subtest_name(report), text))
        if self.failed_subtests == 1:
            self.notes.append(f"subtest failed: {crash_line(report, text)}")

    def abort(self, message: str, text: str) -> None:
        """The protocol itself was left by an exception."""
        self.outcome = "error"
        self.message = message[:MESSAGE_LENGTH]
        self.tracebacks.append(("", shortened(text, self.limit)))

    def reason(self, report: Any) -> str:
        text = report.longrepr
        if isinstance(text, tuple) and len(text) == 3:
            return headline(str(text[2])).replace("Skipped: ", "", 1)
        return headline(longrepr_text(report))

    def finished(self, usage: Message) -> Message:
        if self.failed_subtests and self.outcome == "passed":
            self.outcome = "failed"
            self.message = f"contains {self.failed_subtests} failed subtests"
        if self.reruns:
            self.notes.append(f"run {self.reruns + 1} times by pytest-rerunfailures")
        return {
            "k": "done",
            "id": self.case,
            # No report at all: a plugin's protocol swallowed the case.
            "outcome": self.outcome or "error",
            **usage,
            **{phase: round(seconds, 6) for phase, seconds in self.seconds.items()},
            "shared": round(self.shared, 6),
            "message": self.message if self.outcome else "no report was made of this case",
            "text": self.texts(),
            "props": [
                [plain_text(str(name)), property_value(value)] for name, value in self.properties
            ],
            "notes": self.notes,
        }

    def texts(self) -> list[list[str]]:
        texts = [
            ["traceback" if where in ("", "call") else f"traceback ({where})", text]
            for where, text in self.tracebacks
        ]
        for title, content in self.sections:
            if content:
                texts.append([section_name(title), shortened(content, self.limit)])
        return texts


def section_name(title: str) -> str:
    """'Captured stdout call' -> 'stdout', 'Captured log setup' -> 'log (setup)'."""
    words = title.split(" ")
    if len(words) == 3 and words[0] == "Captured" and words[2] in PHASES:
        return words[1] if words[2] == "call" else f"{words[1]} ({words[2]})"
    return plain_text(title)


def subtest_name(report: Any) -> str:
    context = report.context
    parts = [str(context.msg)] if getattr(context, "msg", None) else []
    parts += [f"{key}={value}" for key, value in dict(getattr(context, "kwargs", {})).items()]
    return plain_text("subtest " + " ".join(parts))


def property_value(value: object) -> object:
    if isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**63):
        return value
    # Also numbers larger than most JSON libraries take.
    try:
        return plain_text(str(value))
    except Exception:  # noqa: BLE001 - a user's __str__ may raise anything
        return f"<{type(value).__name__}>"


def longrepr_text(report: Any) -> str:
    try:
        return str(report.longreprtext) if hasattr(report, "longreprtext") else str(report.longrepr)
    except Exception as broken:  # noqa: BLE001 - drawing a traceback runs users' code
        return f"the traceback could not be drawn: {type(broken).__name__}"


def crash_line(report: Any, text: str) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is not None:
        return headline(str(crash.message))
    # Fixtures that do not exist, doctests and strict xfails have a text of their own.
    lines = [line for line in text.splitlines() if line.startswith("E ")] or text.splitlines()
    return headline(lines[0].removeprefix("E ") if lines else "")


class Successor:
    """Stands in for the next item after the last case of a batch.

    pytest tears down whatever the next item does not share. What comes next is not known yet, so
    this one shares everything above the case (or above its file, when the file is finished) and
    is the finished item for any plugin that looks closer.
    """

    def __init__(self, item: Any, shared: Sequence[Any]) -> None:
        self._item = item
        self._shared = shared

    @property
    def __class__(self) -> type:  # type: ignore[override]
        return type(self._item)

    def listchain(self) -> list[Any]:
        return list(self._shared)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._item, name)


# --- the session --------------------------------------------------------------------------


class Runner:
    """The plugin: pytest's collection and its loop, on command."""

    def __init__(self, wire: Wire, settings: Message) -> None:
        self.wire = wire
        self.limit: int = settings.get("output_limit", 256 * 1024)
        self.isolate: bool = settings.get("isolate", False)
        self.worker: str = settings.get("worker", "gw0")
        self.workers: int = settings.get("workers", 1)
        self.run_id: str = settings.get("run", "")
        # Look like a worker of pytest-xdist to other plugins.
        self.pose: bool = settings.get("pose", True)
        self.meter = Meter()
        self.record: Record | None = None
        self.wide_depth = 0
        # Fixtures that changed the working directory for more than one case, and from where.
        self.movers: dict[int, str] = {}
        self.streaming = False
        # The file that is being collected alone, as a path; None: everything is.
        self.narrow: Path | None = None
        self.items: dict[str, Any] = {}
        self.files: dict[str, list[str]] = {}
        self.broken: dict[str, str] = {}
        self.deselected: set[str] = set()
        self.collected_everything = False
        self.directories: dict[tuple[int, str], Any] = {}
        self.last_case = ""
        self.last_item: Any = None
        self.maxfail = 0
        self.stop_asked = False
        # Where pytest captures into; the parent reads it when this process dies.
        self.captured: list[int] = settings.get("captured", [])
        # Copies of the real stdout and stderr: where output goes that pytest does not capture.
        self.stray = [out_of_reach(os.dup(number)) for number in (1, 2)]
        self.stray_at = [0, 0]

    # -- taking over ------------------------------------------------------------------

    @pytest.hookimpl(hookwrapper=True)
    def pytest_cmdline_parse(self) -> Iterator[None]:
        """Before any plugin acts on the options, take back those that are not for us."""
        outcome: Any = yield
        config = outcome.get_result()
        option = config.option
        self.maxfail = int(getattr(option, "maxfail", 0) or 0)
        neutral = {
            # The coordinator owns -x and --maxfail: a runner sees only its share of the cases.
            "maxfail": 0,
            # Nobody sits at a terminal here.
            "usepdb": False,
            "trace": False,
            "collectonly": False,
            # Which cases run, and in which order, is decided elsewhere.
            "lf": False,
            "failedfirst": False,
            "newfirst": False,
            "stepwise": False,
            "stepwise_skip": False,
            "stepwise_reset": False,
            # pytest-xdist: we are the worker, it must not start its own.
            "numprocesses": None,
            "dist": "no",
            "tx": [],
            "distload": False,
            "looponfail": False,
        }
        for name, value in neutral.items():
            if hasattr(option, name):
                setattr(option, name, value)
        if getattr(option, "basetemp", None):
            # Every session empties its base directory: two must not share one.
            base = Path(os.path.abspath(option.basetemp))
            base.mkdir(parents=True, exist_ok=True)
            option.basetemp = str(base / f"popen-{self.worker}")
        if self.pose:
            self.pose_as_worker(config)

    def pose_as_worker(self, config: Any) -> None:
        """Look like a worker of pytest-xdist to plugins that know it.

        Without that each runner would write the same cache, JUnit file, coverage data and test
        database. Plain pytest has no workers, so tests that ask get another answer than there;
        that is the one difference, and the one they get with pytest-xdist.
        """
        seed = getattr(config.option, "randomly_seed", None)
        if not isinstance(seed, int):
            seed = zlib.crc32(self.run_id.encode())
        config.workerinput = WorkerInput(
            self.wire,
            workerid=self.worker,
            workercount=self.workers,
            testrunuid=self.run_id,
            mainargv=list(sys.argv),
            # pytest-cov: same host and directory, so it leaves a data file to combine.
            cov_master_host=socket.gethostname(),
            cov_master_topdir=os.getcwd(),
            cov_master_rsync_roots=[],
            # pytest-randomly: one seed for the whole campaign.
            randomly_seed=seed,
        )
        config.workeroutput = {}

    def pytest_configure(self, config: Any) -> None:
        config.addinivalue_line(
            "markers",
            "resources(cpu, memory, gpu, tags): what a case needs of the worker that runs it",
        )
        if not config.pluginmanager.hasplugin("xdist"):
            config.pluginmanager.register(WorkerFixtures(self.worker, self.run_id), "proctor-gw")
        config.pluginmanager.register(RecorderFixture(), "proctor-recorder")

    @pytest.hookimpl(trylast=True)
    def pytest_sessionstart(self, session: Any) -> None:
        self.session = session
        self.config = session.config
        self.user_paths = initial_paths(self.config)
        self.directory = self.expected_directory = os.getcwd()
        self.silence_terminal()
        benchmarks: Any = getattr(self.config, "_benchmarksession", None)
        if getattr(benchmarks, "xdist_warning", False):
            # pytest-benchmark switches itself off in workers of pytest-xdist; plain pytest, which
            # we are to equal, measures.
            benchmarks.disabled = False
        # pytest's own pytest_collection hooks run as always (assertion rewriting is prepared
        # there), but nothing is collected before it is asked for.
        self.collect = session.perform_collect
        session.perform_collect = collect_nothing

    def silence_terminal(self) -> None:
        """Keep the terminal reporter, which plugins write to, but tell it of no case.

        It would draw each result and keep every report, output included, until the end.
        """
        manager = self.config.pluginmanager
        reporter = manager.getplugin("terminalreporter")
        if reporter is None:
            return
        for caller in manager.get_hookcallers(reporter) or ():
            with contextlib.suppress(AttributeError, ValueError):
                caller._remove_plugin(reporter)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: Any) -> bool:
        session.perform_collect = self.collect
        self.expected_directory = os.getcwd()
        self.wire.send(self.hello())
        while True:
            command = self.wire.receive(wait=True)
            assert command is not None
            if command["cmd"] == "exit":
                break
            if command["cmd"] == "collect":
                self.collect_everything()
            elif command["cmd"] == "run":
                self.run(command)
        self.tear_down(None)
        self.wire.flush(ring=True)
        return True

    def hello(self) -> Message:
        config = self.config
        plugins = [
            f"{distribution.project_name}-{distribution.version}"
            for _, distribution in config.pluginmanager.list_plugin_distinfo()
        ]
        patterns = [str(pattern) for pattern in config.getini("python_files")]
        patterns += [str(glob) for glob in config.getoption("doctestglob", None) or ()]
        return {
            "k": "hello",
            "pid": os.getpid(),
            "python": sys.version.split()[0],
            "pytest": pytest.__version__,
            "rootdir": str(config.rootpath),
            "inifile": None if config.inipath is None else str(config.inipath),
            "plugins": sorted(set(plugins)),
            "test_patterns": patterns,
            "norecurse": [str(pattern) for pattern in config.getini("norecursedirs")],
            "maxfail": self.maxfail,
            "site": [path for path in sys.path if path.endswith(("site-packages", "-packages"))],
            "arguments": [str(argument) for argument in config.args],
            "continue_on_collection_errors": bool(
                config.getoption("continue_on_collection_errors", False)
            ),
        }

    # -- collecting -------------------------------------------------------------------

    def collect_everything(self) -> None:
        started = time.monotonic()
        errors = 0
        code = 0
        if self.files or self.collected_everything:
            raise RuntimeError("this session has collected already")
        self.streaming = True
        self.errors = 0
        try:
            with self.collecting():
                found = self.collect()
        except pytest.UsageError as problem:
            code = 4
            found = []
            text = "\n".join(str(part) for part in problem.args)
            self.wire.put({"k": "collect-error", "id": "", "file": None, "text": plain_text(text)})
        except (pytest.exit.Exception, KeyboardInterrupt, Exception) as problem:  # noqa: BLE001
            found = []
            self.errors += 1
            self.wire.put(
                {"k": "collect-error", "id": "", "file": None, "text": problem_text(problem)}
            )
        self.streaming = False
        self.collected_everything = True
        errors = self.errors
        self.keep(found)
        self.expected_directory = os.getcwd()
        code = code or (2 if errors else 0 if found else 5)
        self.wire.send(
            {
                "k": "collected",
                "file": None,
                "ids": [plain_text(item.nodeid) for item in found],
                "deselected": sorted(self.deselected),
                "errors": errors,
                "exit": code,
                "seconds": round(time.monotonic() - started, 6),
            }
        )

    def collect_file(self, file: str) -> None:
        """Collect one file on first need.

        Never twice in a session: its fixtures would be registered twice, and one that overrides
        another of its name would be applied to itself.
        """
        started = time.monotonic()
        self.files[file] = []
        path = Path(os.path.normpath(os.path.join(str(self.config.rootpath), file)))
        if not path.exists():
            # A name that is no UTF-8 travels as plain text.
            path = Path(SURROGATE.sub(lambda found: chr(int(found[1], 16)), str(path)))
        self.wire.put({"k": "enter", "what": "collect", "file": file})
        self.wire.flush()
        self.errors = 0
        found: Sequence[Any] = []
        self.narrow = path
        # A name with brackets or colons in it cannot be said as an argument; its folder can, and
        # everything else in there is ignored.
        odd = "[" in path.name or "::" in path.name
        try:
            with self.collecting():
                found = self.collect([str(path.parent if odd else path)])
        except pytest.UsageError as problem:
            # The file is not there, or is no test file any more: then its cases are not found.
            if path.exists():
                self.errors += 1
                self.broken[file] = "\n".join(str(part) for part in problem.args)
        except (pytest.exit.Exception, KeyboardInterrupt, Exception) as problem:  # noqa: BLE001
            self.errors += 1
            self.broken[file] = problem_text(problem)
            self.wire.put(
                {"k": "collect-error", "id": file, "file": file, "text": self.broken[file]}
            )
        finally:
            self.narrow = None
        self.keep(found)
        # A module that changes directory when imported does so for all that follow, as ever.
        self.expected_directory = os.getcwd()
        self.session.items = list(self.items.values())
        ids = [plain_text(item.nodeid) for item in found]
        self.wire.stream(
            {
                "k": "collected",
                "file": file,
                "ids": ids,
                "deselected": [],
                "errors": self.errors,
                "exit": 2 if self.errors else 0 if ids else 5,
                "seconds": round(time.monotonic() - started, 6),
            }
        )

    def keep(self, found: Sequence[Any]) -> None:
        for item in found:
            case = plain_text(item.nodeid)
            # Two items of one id (a file given twice with --keep-duplicates): the first counts.
            self.items.setdefault(case, item)
            self.files.setdefault(self.file_of(item), []).append(case)

    @contextlib.contextmanager
    def collecting(self) -> Generator[None]:
        """The user's warning filters, as pytest applies them round its own collection."""
        try:
            from _pytest.warnings import catch_warnings_for_item
        except ImportError:
            yield
            return
        with catch_warnings_for_item(
            config=self.config, ihook=self.config.hook, when="collect", item=None
        ):
            yield

    def file_of(self, item: Any) -> str:
        try:
            return plain_text(item.path.relative_to(self.config.rootpath).as_posix())
        except ValueError:
            return plain_text(Path(os.path.relpath(item.path, self.config.rootpath)).as_posix())

    def pytest_collectstart(self, collector: Any) -> None:
        if collector is self.session:
            if self.narrow is not None:
                # pytest treats a file named on the command line specially: it need not look like
                # a test file, and files outside the root get other ids. Our asking for one file
                # must not count as the user's naming it.
                self.session._initialpaths = self.user_paths
                if hasattr(self.session, "_initialpaths_with_parents"):
                    self.session._initialpaths_with_parents = self.user_paths.union(
                        *(path.parents for path in self.user_paths)
                    )
        elif self.streaming and isinstance(collector, pytest.File):
            # So that a module that kills the process when imported can be named.
            self.wire.stream({"k": "enter", "what": "collect", "file": self.file_of(collector)})
            self.wire.flush()

    @pytest.hookimpl(tryfirst=True)
    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        """When one file is wanted, everything that does not lead to it is passed over."""
        if self.narrow is None or collection_path == self.narrow:
            return None
        return None if collection_path in self.narrow.parents else True

    @pytest.hookimpl(hookwrapper=True, optionalhook=True)
    def pytest_collect_directory(self, path: Path, parent: Any) -> Iterator[None]:
        """One node for one directory, however many files are collected out of it one by one.

        Fixtures of a conftest.py belong to the node of its directory, and package fixtures stay
        warm only under the same node.
        """
        outcome: Any = yield
        node = outcome.get_result()
        if node is not None:
            outcome.force_result(self.directories.setdefault((id(parent), str(path)), node))

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_collection_finish(self, session: Any) -> Iterator[None]:
        """Keep the conftest.py files that still wait for their directory.

        pytest 9.1 and newer forget them after a collection; ours goes on file by file.
        """
        pending = getattr(getattr(session, "_fixturemanager", None), "_pending_conftests", None)
        kept = dict(pending or {})
        yield
        if kept and pending is not None:
            pending.update(kept)

    def pytest_itemcollected(self, item: Any) -> None:
        if not self.streaming:
            return
        marks: list[Message] = []
        for mark in item.iter_markers():
            # The values of parametrize are as large as users like, and nobody needs them.
            bare = mark.name == "parametrize"
            marks.append(
                {
                    "name": mark.name,
                    "args": [] if bare else [plain_value(value) for value in mark.args],
                    "kwargs": {}
                    if bare
                    else {str(key): plain_value(value) for key, value in mark.kwargs.items()},
                }
            )
        self.wire.stream(
            {
                "k": "item",
                "id": plain_text(item.nodeid),
                "file": self.file_of(item),
                "line": item.location[1],
                "marks": marks,
                "deselected": False,
            }
        )

    def pytest_deselected(self, items: Sequence[Any]) -> None:
        self.deselected.update(plain_text(item.nodeid) for item in items)

    def pytest_collectreport(self, report: Any) -> None:
        if report.passed:
            return
        text = report.longrepr
        if report.skipped:
            reason = str(text[2]) if isinstance(text, tuple) and len(text) == 3 else str(text)
            self.wire.put(
                {
                    "k": "skipped-file",
                    "id": plain_text(report.nodeid),
                    "text": plain_text(reason.replace("Skipped: ", "", 1)),
                }
            )
            return
        self.errors += 1
        drawn = shortened(longrepr_text(report), self.limit)
        file = report.nodeid.split("::")[0]
        self.broken[file] = drawn
        self.wire.put(
            {
                "k": "collect-error",
                "id": plain_text(report.nodeid),
                "file": plain_text(file),
                "text": drawn,
            }
        )

    # -- running ----------------------------------------------------------------------

    def run(self, command: Message) -> None:
        budget = command.get("budget")
        finishes = frozenset(command.get("finishes") or ())
        self.stop_asked = False
        cases = iter(command["cases"])
        case = self.next_runnable(cases)
        # After the first file was loaded: a budget spent on imports would buy one case.
        started = time.monotonic()
        first = True
        while case is not None:
            identifier, item = case
            following = self.next_runnable(cases)
            if first and not self.isolate:
                self.tear_down(item)
            first = False
            if self.isolate:
                self.run_in_child(identifier, item)
            else:
                self.run_case(identifier, item, self.successor(item, following, finishes))
            case = following
            if self.stopping() or (budget is not None and time.monotonic() - started >= budget):
                break
        self.wire.send({"k": "idle", "batch": command.get("batch", "")})

    def stopping(self) -> bool:
        if not self.stop_asked:
            command = self.wire.receive(wait=False)
            if command is not None and command["cmd"] == "exit":
                # Keep it for the loop outside.
                line = self.wire.encode(command).encode("ascii")
                self.wire.incoming = line + b"\n" + self.wire.incoming
            self.stop_asked = command is not None
        return self.stop_asked

    def next_runnable(self, cases: Iterator[Message]) -> tuple[str, Any] | None:
        """The next case of the order that exists; those that do not are said to be missing."""
        for case in cases:
            identifier: str = case["id"]
            file: str = case.get("file") or identifier.split("::", 1)[0]
            if identifier not in self.items and file not in self.files:
                self.collect_file(file)
            item = self.items.get(identifier)
            if item is not None:
                return identifier, item
            if identifier in self.deselected:
                why = "deselected"
            elif file in self.broken:
                why = "collection failed"
            else:
                why = "not found"
            self.wire.stream({"k": "missing", "id": identifier, "why": why})
        return None

    def successor(
        self, item: Any, following: tuple[str, Any] | None, finishes: frozenset[str]
    ) -> Any:
        # The same case twice in a row: pytest would tear nothing down between them.
        if following is not None and following[1] is not item:
            return following[1]
        chain = item.listchain()[:-1]
        if following is None and self.file_of(item) in finishes:
            files = [place for place, node in enumerate(chain) if isinstance(node, pytest.File)]
            # A package is a file to pytest 7, and not finished with one of its modules.
            chain = chain[: files[-1]] if files else chain
        return Successor(item, chain)

    def run_case(self, identifier: str, item: Any, following: Any) -> None:
        wire = self.wire
        record = Record(identifier, self.limit)
        self.last_case = identifier
        self.last_item = item
        self.note_stray()
        wire.put(
            {
                "k": "start",
                "id": identifier,
                "t": time.time(),
                "pid": wire.pid,
                "at": self.stray_at,
            }
        )
        # Before the case can kill this process; it takes the record of the case before along.
        wire.flush()
        self.record = record
        self.meter.begin()
        try:
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        except (pytest.exit.Exception, KeyboardInterrupt) as problem:
            wire.leave_if_stranger()
            said = getattr(problem, "msg", "")
            what = "KeyboardInterrupt" if isinstance(problem, KeyboardInterrupt) else "pytest.exit"
            record.abort(
                f"{what} in the test" + (f": {said}" if said else ""), problem_text(problem)
            )
            self.recover(record, following)
        except Exception as problem:  # noqa: BLE001 - a hook of the user's failed
            wire.leave_if_stranger()
            record.abort(f"a pytest hook failed: {problem!r}", problem_text(problem))
            self.recover(record, following)
        self.record = None
        usage = self.meter.end()
        wire.leave_if_stranger()
        self.restore_directory(record)
        self.ignore_stop_requests(record)
        done = record.finished(usage)
        done["text"] += self.stray_output()
        wire.put(done)
        # The session keeps its items: their captured output must not stay with them, and would
        # be shown again if the case ran again.
        sections = getattr(item, "_report_sections", None)
        if sections:
            sections.clear()

    def recover(self, record: Record, following: Any) -> None:
        """The protocol was left half way: take down what it left standing."""
        try:
            self.session._setupstate.teardown_exact(following)
        except (Exception, pytest.exit.Exception) as problem:  # noqa: BLE001
            record.tracebacks.append(("teardown", problem_text(problem)))

    def restore_directory(self, record: Record) -> None:
        try:
            directory = os.getcwd()
        except OSError:
            directory = ""
        if directory != self.expected_directory:
            record.notes.append("left its working directory changed")
            try:
                os.chdir(self.expected_directory)
            except OSError:
                self.expected_directory = self.directory
                os.chdir(self.directory)

    def ignore_stop_requests(self, record: Record) -> None:
        session = self.session
        for name in ("shouldstop", "shouldfail"):
            asked = getattr(session, name, False)
            if asked:
                record.notes.append(f"asked the session to stop: {asked}")
                # Since pytest 8 the public attribute cannot be unset.
                setattr(session, f"_{name}" if hasattr(session, f"_{name}") else name, False)

    def tear_down(self, following: Any) -> None:
        """End what the last batch left standing and the next case does not share."""
        stack = getattr(self.session._setupstate, "stack", None)
        if not stack:
            return
        if following is not None:
            chain = following.listchain()
            if list(stack) == chain[: len(stack)]:
                return
        self.wire.put({"k": "enter", "what": "teardown", "id": self.last_case})
        self.wire.flush()
        self.note_stray()
        text = ""
        message = ""
        try:
            with self.tearing_down():
                self.session._setupstate.teardown_exact(following)
        except (Exception, pytest.exit.Exception, KeyboardInterrupt) as problem:  # noqa: BLE001
            self.wire.leave_if_stranger()
            message = f"a fixture's teardown failed: {headline(repr(problem))}"
            text = problem_text(problem)
        if message:
            self.wire.put(
                {
                    "k": "late",
                    "id": self.last_case,
                    "outcome": "error",
                    "message": message,
                    "text": [["traceback (teardown)", text], *self.stray_output()],
                }
            )
        self.wire.put({"k": "enter", "what": "", "id": ""})
        self.expected_directory = self.settled_directory()

    @contextlib.contextmanager
    def tearing_down(self) -> Generator[None]:
        try:
            from _pytest.warnings import catch_warnings_for_item
        except ImportError:
            yield
            return
        with catch_warnings_for_item(
            config=self.config, ihook=self.config.hook, when="runtest", item=self.last_item
        ):
            yield

    def settled_directory(self) -> str:
        try:
            return os.getcwd()
        except OSError:
            os.chdir(self.directory)
            return self.directory

    # -- what pytest tells while a case runs ------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.wire.verdict_of_stranger = 1
        self.wire.leave_if_stranger()
        self.wire.verdict_of_stranger = 0
        if self.record is not None:
            self.record.add(report)

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Iterator[None]:
        """Time fixtures wider than the function, which other cases share."""
        if fixturedef.scope == "function" or self.wide_depth:
            yield
            return
        self.wide_depth = 1
        before = self.current_directory()
        started = time.perf_counter()
        try:
            yield
        finally:
            self.wide_depth = 0
            if self.record is not None:
                self.record.shared += time.perf_counter() - started
            after = self.current_directory()
            if after != before:
                # A module-wide change of directory is meant to last, not to be undone by us.
                self.expected_directory = after
                self.movers[id(fixturedef)] = before

    @pytest.hookimpl(trylast=True)
    def pytest_fixture_post_finalizer(self, fixturedef: Any) -> None:
        before = self.movers.pop(id(fixturedef), None) if self.movers else None
        if before is not None:
            self.expected_directory = before

    def current_directory(self) -> str:
        try:
            return os.getcwd()
        except OSError:
            return self.directory

    # -- output that pytest does not capture ----------------------------------------------

    def note_stray(self) -> None:
        for place, descriptor in enumerate(self.stray):
            try:
                size = os.fstat(descriptor).st_size
                if size > STRAY_OUTPUT_BYTES:
                    os.ftruncate(descriptor, 0)
                    size = 0
            except OSError:
                size = 0
            self.stray_at[place] = size

    def stray_output(self) -> list[list[str]]:
        texts: list[list[str]] = []
        for place, name in enumerate(("stdout", "stderr")):
            with contextlib.suppress(OSError):
                descriptor = self.stray[place]
                start = self.stray_at[place]
                size = os.fstat(descriptor).st_size
                if size <= start:
                    continue
                data = read_ends(descriptor, start, size, self.limit)
                texts.append([name, shortened(data, self.limit)])
        return texts

    # -- isolate mode -----------------------------------------------------------------------

    def run_in_child(self, identifier: str, item: Any) -> None:
        """Run one case in a process forked from this warm one."""
        wire = self.wire
        with contextlib.suppress(Exception):
            # Made once here, or each child would make a numbered directory of its own.
            self.config._tmp_path_factory.getbasetemp()
        wire.flush()
        self.note_stray()
        for descriptor in self.captured:
            # A child that died left its output in the files that all of us write to.
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, 0)
                os.lseek(descriptor, 0, os.SEEK_SET)
        wire.sharing = True
        warm = os.getpid()
        with warnings.catch_warnings():
            # Since 3.12 Python warns of forking beside threads; that is what the user asked for.
            warnings.simplefilter("ignore")
            child = os.fork()
        if child == 0:
            wire.sharing = False
            code = 1
            try:
                # A group of its own, so that it can be ended with all it started.
                os.setpgid(0, 0)
                # A fork does not inherit this wish.
                die_with(warm)
                self.meter.open_files()
                self.run_case(identifier, item, None)
                wire.flush()
                code = 0
            finally:
                os._exit(code)
        wire.sharing = False
        self.last_case = identifier
        _, status = os.waitpid(child, 0)
        with contextlib.suppress(OSError):
            # What the case left running ends with it.
            os.killpg(child, signal.SIGKILL)
        code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        # Also with code 0: `os._exit(0)` inside a test leaves no record either.
        text = [*self.captured_output(), *self.stray_output()] if code else []
        wire.put({"k": "died", "id": identifier, "code": code, "text": text})

    def captured_output(self) -> list[list[str]]:
        """What pytest had captured of a case that died, from the files it captured into."""
        texts: list[list[str]] = []
        for descriptor, name in zip(self.captured, ("stdout", "stderr")):  # noqa: B905 - 3.9
            with contextlib.suppress(OSError):
                text = read_ends(descriptor, 0, os.fstat(descriptor).st_size, self.limit)
                if text:
                    texts.append([name, plain_text(text)])
        return texts


def collect_nothing(*_: object, **__: object) -> list[Any]:
    """In place of a session's own collection."""
    return []


def read_ends(descriptor: int, start: int, size: int, limit: int) -> str:
    """Text of a file from `start`: all of it, or head and tail when it is far too long."""
    if size - start <= 2 * limit:
        return os.pread(descriptor, size - start, start).decode("utf-8", "replace")
    head = os.pread(descriptor, limit // 2, start).decode("utf-8", "replace")
    tail = os.pread(descriptor, limit // 2, size - limit // 2).decode("utf-8", "replace")
    return f"{head}\n[... {size - start - 2 * (limit // 2)} bytes left out ...]\n{tail}"


def problem_text(problem: BaseException) -> str:
    return plain_text(
        "".join(traceback.format_exception(type(problem), problem, problem.__traceback__))
    )


def initial_paths(config: Any) -> frozenset[Path]:
    """The paths the user named, as pytest resolves them."""
    paths: list[Path] = []
    for argument in config.args:
        name = str(argument).split("[", 1)[0].split("::", 1)[0]
        if config.getoption("pyargs", False):
            import importlib.util

            with contextlib.suppress(ImportError, AttributeError, ValueError):
                spec = importlib.util.find_spec(name)
                origin = None if spec is None else spec.origin
                if origin is not None:
                    name = os.path.dirname(origin) if origin.endswith("__init__.py") else origin
        paths.append(Path(os.path.abspath(config.invocation_params.dir / name)))
    return frozenset(paths)


class WorkerInput(dict):  # type: ignore[type-arg]
    """What pytest-xdist tells a worker; plugins add keys of their own on its controller."""

    def __init__(self, wire: Wire, **values: object) -> None:
        super().__init__(values)
        self.wire = wire

    def __missing__(self, key: str) -> object:
        if key in ("sock_port", "statusdb_token"):
            self.serve_rerunfailures()
        if key in self:
            return self[key]
        # The plugin will fail with this, and pytest with it: the parent tries again without the
        # pose when it reads this.
        self.wire.send({"k": "unposed", "key": key})
        raise KeyError(key)

    def serve_rerunfailures(self) -> None:
        """pytest-rerunfailures keeps its counters behind a socket of the controller.

        Here each runner has its own, which is enough: a case is run again where it ran.
        """
        import pytest_rerunfailures  # type: ignore[import-not-found]

        database = pytest_rerunfailures.ServerStatusDB()
        # Its thread listens too, but only some time after we connect.
        database.sock.listen()
        self["sock_port"] = database.sock_port
        self["statusdb_token"] = getattr(database, "token", "")


class WorkerFixtures:
    """The fixtures of pytest-xdist, where it is not installed."""

    def __init__(self, worker: str, run_id: str) -> None:
        self.worker = worker
        self.run_id = run_id

    @pytest.fixture(scope="session")
    def worker_id(self) -> str:
        return self.worker

    @pytest.fixture(scope="session")
    def testrun_uid(self) -> str:
        return self.run_id


class Recorder:
    """What the fixture `proctor` gives: a test says what it measured."""

    def __init__(self, properties: list[tuple[str, object]]) -> None:
        self._properties = properties

    def record(self, name: str, value: float, *, unit: str = "", better: str = "lower") -> None:
        """Remember a value with its unit, and whether lower or higher is better."""
        if better not in ("lower", "higher"):
            raise ValueError(f"better is {better!r}, and not 'lower' or 'higher'")
        told = {"value": float(value), "unit": unit, "better": better}
        self._properties.append((name, json.dumps(told)))


class RecorderFixture:
    """The fixture `proctor`; one of the suite's own under that name comes before it."""

    @pytest.fixture
    def proctor(self, request: Any) -> Recorder:
        return Recorder(request.node.user_properties)


# --- the process --------------------------------------------------------------------------


def die_with(parent: int) -> None:
    """Ask the kernel to end this process when its parent's spawning thread ends (Linux)."""
    if sys.platform != "linux":
        return
    import ctypes

    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, int(signal.SIGKILL), 0, 0, 0)  # PR_SET_PDEATHSIG
    if parent and os.getppid() != parent:
        # It died before we asked.
        os._exit(EXIT_WIRE_LOST)


def prefer_as_victim() -> None:
    """When memory runs out, the kernel shall end this process and not the worker above it."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("800")


def lend_capture_files(descriptors: Sequence[int]) -> list[int]:
    """Let pytest capture into files that the parent can read when this process is dead.

    The first two temporary files that pytest's capture opens are those for stdout and stderr of
    the whole session.
    """
    lent = [out_of_reach(descriptor) for descriptor in descriptors]
    try:
        from _pytest import capture

        original = capture.TemporaryFile  # pyright: ignore[reportPrivateImportUsage]
    except (ImportError, AttributeError):
        return []
    waiting = list(lent)

    def temporary_file(*args: Any, **kwargs: Any) -> Any:
        if waiting:
            return os.fdopen(os.dup(waiting.pop(0)), "w+b", buffering=0)
        return original(*args, **kwargs)

    capture.TemporaryFile = temporary_file  # pyright: ignore[reportPrivateImportUsage]
    return lent


def main(arguments: Sequence[str]) -> int:
    settings: Message = json.loads(arguments[0])
    wire = Wire(commands=settings["commands"], records=settings["records"], bell=settings["bell"])
    die_with(settings.get("parent", 0))
    prefer_as_victim()
    if tuple(int(part) for part in pytest.__version__.split(".")[:2]) < (7, 0):
        wire.send({"k": "problem", "what": "old pytest", "text": pytest.__version__})
        return EXIT_NO_PYTEST
    stacks = out_of_reach(settings["stacks"])
    if settings.get("signal"):
        import faulthandler

        # Works while the interpreter lock is held, as no Python code could. pytest's own
        # faulthandler plugin deals with fatal signals and timers, and is left alone.
        faulthandler.register(settings["signal"], file=stacks, all_threads=True, chain=False)
    if CACHE is not None:
        module, cache = CACHE
        module.serve_pytest(cache)
    for name in settings.get("forget", ()):
        os.environ.pop(name, None)
    settings["captured"] = lend_capture_files(settings.get("captured", ()))
    runner = Runner(wire, settings)
    user_arguments = list(arguments[1:])
    # As the `pytest` command would have it.
    sys.argv = [os.path.join(os.path.dirname(sys.executable), "pytest"), *user_arguments]
    if settings.get("directory_on_path"):
        # As `python -m pytest` would have it.
        sys.path.insert(0, os.getcwd())
    code = pytest.main(user_arguments, plugins=[runner])
    wire.leave_if_stranger()
    return int(code)


def leave(code: int) -> None:
    """End the process as Python would, but leave its memory to the kernel.

    Threads are waited for, exit handlers run and output is flushed. Taking a heap full of modules
    apart, object by object, is all that is left out: it took 0.2-0.5 s after networkx's tests, at
    the very end of a campaign, when everybody waits.
    """
    import atexit
    import threading

    try:
        # In Python's own order; multiprocessing ends its children so.
        threading._shutdown()  # pyright: ignore[reportAttributeAccessIssue, reportPrivateUsage]
        atexit._run_exitfuncs()  # pyright: ignore[reportPrivateUsage]
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(code)


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
