"""How a named Prefect server is spoken to: credentials go where they belong, and silence is told."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_KEY,
    PREFECT_API_URL,
    get_current_settings,
    temporary_settings,
)

from proctor.flows.server.connection import spare_loopback, speaking_to, why_unusable
from proctor.flows.server.prefect_server import PrefectUnavailable, answering_url

SERVER = "http://prefect.example/api"


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


@pytest.fixture
def guarded() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Guarded) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/api"
        finally:
            server.shutdown()
            thread.join()


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
