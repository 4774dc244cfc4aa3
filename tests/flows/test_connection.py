"""How a named Prefect server is spoken to: credentials go where they belong, and silence is told."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import psutil
import pytest
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_KEY,
    PREFECT_API_URL,
    get_current_settings,
    temporary_settings,
)

from proctor.flows.server import prefect_server
from proctor.flows.server.connection import spare_loopback, speaking_to, why_unusable
from proctor.flows.server.prefect_server import (
    PrefectUnavailable,
    ResidentServer,
    answering_url,
    is_answering,
)
from proctor.infra.errors import StateUnwritable

SERVER = "http://prefect.example/api"


@pytest.fixture(autouse=True)
def _patient(monkeypatch):
    monkeypatch.setitem(why_unusable.__kwdefaults__, "seconds", 60.0)


def credentials() -> tuple[str | None, ...]:
    api = get_current_settings().api
    return tuple(each and each.get_secret_value() for each in (api.key, api.auth_string))


@pytest.mark.parametrize(
    ("configured", "kept"),
    [(SERVER, True), (f"{SERVER}/", True), (None, True), ("http://other.example/api", False)],
    ids=["its own", "written with a slash", "named by us only", "another's"],
)
def test_credentials_go_to_the_server_that_they_are_for(configured, kept):
    """Also where the address stands in Proctor's settings and only the key in Prefect's."""
    theirs = {
        PREFECT_API_URL: configured,
        PREFECT_API_KEY: "key",
        PREFECT_API_AUTH_STRING: "name:word",
    }
    with temporary_settings(theirs), speaking_to(SERVER):
        assert credentials() == (("key", "name:word") if kept else (None, None))
        assert (get_current_settings().api.url or "").rstrip("/") == SERVER


def test_no_proxy_is_asked_for_servers_of_this_machine():
    """People who need a proxy for everything else seldom think of saying so."""
    environ = {"http_proxy": "http://proxy:3128", "NO_PROXY": "intra.example"}
    spare_loopback(environ)
    spare_loopback(environ)
    assert environ["no_proxy"] == environ["NO_PROXY"] == "intra.example,127.0.0.1"
    without: dict[str, str] = {}
    spare_loopback(without)
    assert without == {}


class Guarded(BaseHTTPRequestHandler):
    """A server that is open at /health only, as Prefect's is; Prefect Cloud has not even that."""

    def do_GET(self) -> None:
        self.answer(404)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(200 if self.headers["Authorization"] == "Bearer right" else 401)

    def answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"[]")

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Generator[str]:
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/api"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def guarded() -> Iterator[str]:
    with serving(Guarded) as url:
        yield url


def test_a_server_is_asked_with_the_credentials_that_will_be_used(guarded):
    """One without a /health, such as Prefect Cloud, is one that answers."""
    with temporary_settings({PREFECT_API_URL: guarded, PREFECT_API_KEY: "right"}):
        assert why_unusable(guarded) == ""
        assert answering_url(guarded) == guarded


def test_a_server_that_refuses_us_says_what_it_wants(guarded):
    """Not that there is none."""
    wrong = temporary_settings({PREFECT_API_URL: guarded, PREFECT_API_KEY: "wrong"})
    with wrong, pytest.raises(PrefectUnavailable, match="PREFECT_API_KEY"):
        answering_url(guarded)


def test_a_server_that_says_nothing_is_not_waited_for():
    """A port behind which nobody answers: Prefect's client alone would wait for minutes."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/api"
        assert why_unusable(url, seconds=0.2) == "it did not answer within 0.2 s"


def test_a_server_that_is_away_is_told_without_the_password_in_its_address():
    """What is printed is kept in logs."""
    with pytest.raises(PrefectUnavailable) as told:
        answering_url("http://someone:secret@127.0.0.1:9/api", purpose=", and it is needed")
    assert "http://127.0.0.1:9/api, and it is needed" in str(told.value)
    assert "secret" not in str(told.value)


class Well(Guarded):
    """Says that it is well, as a Prefect server does."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"true")


def test_a_server_of_this_machine_is_asked_past_any_proxy(monkeypatch):
    """A resident one would seem silent, and be ended for it."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with serving(Well) as url:
        assert is_answering(url, timeout=60)


def test_a_server_of_which_no_record_can_be_kept_is_ended(monkeypatch, tmp_path):
    """On a full disk: otherwise each start would leave another one behind."""
    started: list[subprocess.Popen[bytes]] = []

    def spawn(*_: object, **__: object) -> int:
        started.append(subprocess.Popen(["sleep", "600"]))
        return started[0].pid

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(prefect_server, "spawn_detached", spawn)
    monkeypatch.setattr(ResidentServer, "_write", full)
    with pytest.raises(StateUnwritable):
        ResidentServer(tmp_path).ensure(seconds=60)
    (process,) = started
    process.wait(60)
    assert not psutil.pid_exists(process.pid)
