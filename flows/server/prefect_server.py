"""The Prefect server campaigns are told to: the one that is configured, or a resident one of ours.

The resident server is one detached process per state directory, on loopback, with its database
under `<state>/prefect`. It has a PREFECT_HOME of its own: the user's profile may point at another
server or database, and their `prefect server start` keeps its process file there. Concurrent
starters take turns at a lock; whoever dies while starting leaves a record that the next one reads.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Mapping
from dataclasses import asdict, dataclass, replace
from http.client import HTTPException
from pathlib import Path

import psutil

from ...infra.errors import BadSetting, InfrastructureProblem, StateUnwritable, UsageProblem
from ...infra.ledgers.append_file import unwritable
from ...infra.process_ref import ProcessRef, born
from ...infra.secrets import without_passwords
from ...infra.setting_readers import without_credentials
from .detached import spawn_detached

_HOST = "127.0.0.1"
# Below the range the kernel takes outgoing ports from: a remembered port stays free.
_PORTS = range(4210, 4300)
_PORT_SECONDS = 3.0
# Fresh databases have been seen to take 23 s on two busy cores; a nice server takes longer.
START_SECONDS = 180.0
# An answer that does not come in this time, from a process that has had long enough to start.
_SILENCE_SECONDS = 30.0
# A port can be lost to another program between the choice and the start; a broken database stays.
_STARTS = 3
_LOG_LIMIT_BYTES = 5_000_000

# FACTS: without the UI setting the page calls port 4200; with the recorder's defaults task runs
# lag by seconds and a stop loses most of them. The persister's default is 5 s.
_SETTINGS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_API_URL": "/api",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_FLUSH_INTERVAL": "1",
    "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
    "PREFECT_LOGGING_LEVEL": "WARNING",
}


class PrefectUnavailable(InfrastructureProblem):
    """No Prefect server answered in time."""


class ServerStopped(PrefectUnavailable):
    """A person stopped the resident server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerRecord:
    """What a starter leaves behind about the process it started."""

    port: int
    pid: int
    # Tells the process from a later one under the same number.
    created: float
    started: float
    # When somebody stopped it on purpose; 0 while it should be up.
    stopped: float = 0.0

    @property
    def api_url(self) -> str:
        return f"http://{_HOST}:{self.port}/api"

    @property
    def ui_url(self) -> str:
        return f"http://{_HOST}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStatus:
    """How the resident server is."""

    record: ServerRecord | None
    alive: bool
    answering: bool


def chosen_url(setting: str, environ: Mapping[str, str]) -> str | None:
    """The address somebody configured: the setting, the environment, or Prefect's own profile."""
    if setting not in {"auto", "off"}:
        if not setting.startswith(("http://", "https://")):
            raise BadSetting(
                f"the setting prefect={without_passwords(setting)!r} is neither auto, off nor an "
                "address",
                remedy="write for example prefect = 'http://127.0.0.1:4200/api'",
            )
        return setting.rstrip("/")
    if url := environ.get("PREFECT_API_URL"):
        return url.rstrip("/")
    # Takes a second: only the mirror and the command line's server verbs come here.
    from prefect.settings import get_current_settings

    profile = get_current_settings().api.url
    return profile.rstrip("/") if profile else None


def is_answering(api_url: str, *, timeout: float = 2.0) -> bool:
    """Whether a Prefect server says it is well; of one elsewhere, whether anything answers there.

    Prefect Cloud says so to nobody, and whose certificate is trusted only Prefect's client knows.
    """
    own = api_url.startswith(f"http://{_HOST}:")
    opener = urllib.request.build_opener(*([urllib.request.ProxyHandler({})] if own else []))
    try:
        with opener.open(f"{without_credentials(api_url)}/health", timeout=timeout) as answer:
            return not own or (answer.status == 200 and answer.read(16).strip() == b"true")
    except urllib.error.HTTPError as problem:
        return not own and problem.code < 500
    except (OSError, HTTPException, ValueError) as problem:
        return isinstance(getattr(problem, "reason", None), ssl.SSLCertVerificationError)


class ResidentServer:
    """The one server of a state directory."""

    def __init__(self, state: Path) -> None:
        self.home = state / "prefect"
        self._record = self.home / "server.json"

    def status(self) -> ServerStatus:
        record = self._read()
        process = None if record is None or record.stopped else _process(record)
        answering = process is not None and record is not None and _answers(record, process)
        return ServerStatus(record=record, alive=process is not None, answering=answering)

    def ensure(
        self, *, seconds: float = START_SECONDS, unless_stopped_since: float = 0.0
    ) -> ServerRecord:
        """Return a server that answers; start one, or replace a dead one, if need be.

        A background process passes the time at which it began: a server that a person stopped
        after that stays stopped.
        """
        deadline = time.monotonic() + seconds
        status = self.status()
        if status.answering and status.record is not None:
            return status.record
        try:
            self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as problem:
            raise StateUnwritable(
                f"{self.home} cannot be made: {problem.strerror}",
                remedy="choose another state directory with --state",
            ) from problem
        starts = 0
        with self._turn(deadline):
            while True:
                record = self._read()
                if unless_stopped_since and record and record.stopped > unless_stopped_since:
                    raise ServerStopped(
                        "the resident Prefect server was stopped",
                        remedy="start it with `proctor server start`",
                    )
                if record is None or record.stopped or _process(record) is None:
                    if starts == _STARTS:
                        raise PrefectUnavailable(
                            f"the resident Prefect server ended {starts} times while it started",
                            remedy=f"see {self.home / 'server.log'}",
                        )
                    record = self._start(record)
                    starts += 1
                if self._await(record, deadline):
                    return record
                if time.monotonic() >= deadline:
                    raise PrefectUnavailable(
                        f"the resident Prefect server did not answer within {seconds:.0f} s",
                        remedy=f"see {self.home / 'server.log'}",
                    )

    def stop(self, *, seconds: float = 20.0) -> bool:
        """Stop the server; whether there was one to stop."""
        if not self.home.is_dir():
            return False
        with self._turn(time.monotonic() + seconds):
            record = self._read()
            if record is None or record.stopped:
                return False
            process = _process(record)
            self._write(replace(record, stopped=time.time()))
            if process is not None:
                _end(process, grace=seconds / 2)
            return process is not None

    def _start(self, former: ServerRecord | None) -> ServerRecord:
        port = _free_port(former.port if former else None)
        log = self.home / "server.log"
        with contextlib.suppress(FileNotFoundError):
            if log.stat().st_size > _LOG_LIMIT_BYTES:
                log.replace(self.home / "server.log.1")
        pid = spawn_detached(
            [sys.executable, "-m", "proctor.flows.server.prefect_host", "--port", str(port)],
            environ=self._environ(port),
            log=log,
        )
        record = ServerRecord(
            port=port, pid=pid, created=born(psutil.Process(pid)), started=time.time()
        )
        try:
            self._write(record)
        except OSError as problem:
            # A server of which nobody knows would run on, and each next start would add one.
            _end(psutil.Process(pid), grace=5)
            raise unwritable(self._record, problem) from problem
        return record

    def _environ(self, port: int) -> dict[str, str]:
        # A clean slate: what the user set for their own server or client is not for this one.
        kept = {name: value for name, value in os.environ.items() if name[:8] != "PREFECT_"}
        return (
            kept
            | _SETTINGS
            | {
                "PREFECT_HOME": str(self.home),
                "PREFECT_SERVER_API_HOST": _HOST,
                "PREFECT_SERVER_API_PORT": str(port),
                "PREFECT_API_URL": f"http://{_HOST}:{port}/api",
                "PREFECT_SERVER_DATABASE_CONNECTION_URL": (
                    f"sqlite+aiosqlite:///{self.home / 'prefect.db'}"
                ),
            }
        )

    def _await(self, record: ServerRecord, deadline: float) -> bool:
        """Wait until it answers; end it if it lives and stays silent for too long."""
        silent_until = max(
            time.monotonic() + _SILENCE_SECONDS,
            time.monotonic() + START_SECONDS - (time.time() - record.started),
        )
        pause = 0.05
        while time.monotonic() < deadline:
            process = _process(record)
            if process is None:
                return False
            if _answers(record, process):
                return True
            if time.monotonic() > silent_until:
                _end(process, grace=5)
                return False
            time.sleep(pause)
            pause = min(pause * 1.5, 0.5)
        return False

    def _read(self) -> ServerRecord | None:
        try:
            return ServerRecord(**json.loads(self._record.read_text()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError):
            # Another version's, or torn by a full disk: as good as none, a start writes it anew.
            return None

    def _write(self, record: ServerRecord) -> None:
        fresh = self._record.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(record)))
        fresh.replace(self._record)

    @contextlib.contextmanager
    def _turn(self, deadline: float) -> Generator[None]:
        """Hold the starters' lock; the kernel frees it when its holder dies."""
        with (self.home / "server.lock").open("w") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise PrefectUnavailable(
                            "another process is still starting the resident Prefect server",
                            remedy=f"see {self.home / 'server.log'}",
                        ) from None
                    time.sleep(0.1)
            yield


def usable_url(setting: str, state: Path, *, purpose: str = "") -> str:
    """A server that answers: the configured one, or the resident one, started if need be."""
    if setting == "off":
        raise UsageProblem(
            "Prefect is switched off (prefect = off)", remedy="give --prefect auto or an address"
        )
    return answering_url(setting, purpose=purpose) or ResidentServer(state).ensure().api_url


def answering_url(setting: str, *, purpose: str = "") -> str:
    """The configured server, which has to answer; empty where none is configured."""
    url = chosen_url(setting, os.environ)
    if not url:
        return ""
    # Prefect takes a second to import.
    from .connection import why_unusable

    if why := why_unusable(url):
        raise PrefectUnavailable(
            f"no Prefect server can be used at {without_credentials(url)}{purpose}: {why}",
            remedy="mend that, or unset PREFECT_API_URL to use the resident one",
        )
    return url


def _process(record: ServerRecord) -> psutil.Process | None:
    """The process of the record, if it lives."""
    return ProcessRef(pid=record.pid, created=record.created).process


def _answers(record: ServerRecord, process: psutil.Process) -> bool:
    """Whether it answers, and not another server that took the port while it started."""
    if not is_answering(record.api_url):
        return False
    try:
        return any(
            each.status == psutil.CONN_LISTEN and each.laddr.port == record.port
            for each in process.net_connections("tcp")
        )
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        # Another user's, in a state directory that is shared: nobody here can tell.
        return True


def _end(process: psutil.Process, *, grace: float) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(signal.SIGTERM)
        # A stopped process would not see the signal.
        process.send_signal(signal.SIGCONT)
        _, left = psutil.wait_procs([process], timeout=grace)
        for survivor in left:
            survivor.kill()
        psutil.wait_procs(left, timeout=5)


def _free_port(former: int | None) -> int:
    """The former port if it can be had, so that known addresses stay right; else another."""
    patience = time.monotonic() + _PORT_SECONDS
    while former is not None and time.monotonic() < patience:
        # A process that has just been killed holds its port for a moment.
        if _bound(former):
            return former
        time.sleep(0.1)
    for port in (*_PORTS, 0):
        if bound := _bound(port):
            return bound
    raise PrefectUnavailable(
        "no free port for the resident Prefect server", remedy="end what uses them"
    )


def _bound(port: int) -> int:
    """The port, if it can be listened on; 0 if not. Asked for 0, one of the kernel's choice."""
    with socket.socket() as probe:
        # As servers do: a port in TIME_WAIT can be had.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError:
            return 0
        return int(probe.getsockname()[1])
