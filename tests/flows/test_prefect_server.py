"""The resident Prefect server: one at a time, found again, replaced when dead."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import httpx
import psutil
import pytest
from real_prefect import History, resident_server, resident_state
from waiting import wait_until

from proctor.flows.server import prefect_host, prefect_server
from proctor.flows.server.prefect_server import (
    PrefectUnavailable,
    ResidentServer,
    ServerRecord,
    chosen_url,
    is_answering,
)
from proctor.infra.errors import BadSetting
from proctor.infra.process_ref import born

ENSURE = """
import sys
from pathlib import Path
from proctor.flows.server.prefect_server import ResidentServer
print(ResidentServer(Path(sys.argv[1])).ensure().pid)
"""


def test_concurrent_starters_start_one_server():
    """Three processes that find none running end up with the same one."""
    server = resident_server()
    port = server.ensure().port
    assert server.stop()
    starters = [
        subprocess.Popen(
            [sys.executable, "-c", ENSURE, str(resident_state())], stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]

    pids = {starter.communicate(timeout=180)[0].strip() for starter in starters}

    assert len(pids) == 1
    record = server.ensure()
    assert pids == {str(record.pid)}
    # Bookmarks, and processes that know the address, stay right.
    assert record.port == port


def test_it_listens_on_loopback_only():
    """Nobody else's machine can reach it."""
    record = resident_server().ensure()
    listening = [
        connection.laddr.ip
        for connection in psutil.Process(record.pid).net_connections()
        if connection.status == psutil.CONN_LISTEN
    ]
    assert listening == ["127.0.0.1"]


def test_the_page_talks_to_its_own_server():
    """With Prefect's default the page would call port 4200."""
    record = resident_server().ensure()
    told = History(record.ui_url).ask("/ui-settings")
    assert told["api_url"] == "/api"


def test_a_schedule_comes_due():
    """The runs of a deployment's schedule are made by the server, which only its log told of."""
    history = History(resident_server().ensure().api_url)
    flow = history.ask("/flows/", {"name": "watering"})
    deployment = history.ask(
        "/deployments/",
        {
            "name": "watering",
            "flow_id": flow["id"],
            "schedules": [{"schedule": {"interval": 3600}, "active": True}],
        },
    )
    try:
        of_it = {"deployments": {"id": {"any_": [deployment["id"]]}}}
        # The server looks for new schedules every few seconds.
        wait_until(
            lambda: history.ask("/flow_runs/filter", of_it),
            timeout=120,
            what="a scheduled run of a deployment",
        )
        runs = history.ask("/flow_runs/filter", of_it)
        assert {run["state_type"] for run in runs} == {"SCHEDULED"}
    finally:
        address = f"{history.api_url}/deployments/{deployment['id']}"
        wait_until(
            lambda: httpx.delete(address, timeout=20).status_code in {204, 404},
            timeout=120,
            what="the server to forget the deployment",
        )


def test_a_dead_server_is_replaced_at_the_same_address(monkeypatch):
    """A kill leaves a record that points nowhere; the next one in does not believe it."""
    # On a busy machine a process that was killed may hold its port for longer.
    monkeypatch.setattr(prefect_server, "_PORT_SECONDS", 60.0)
    server = resident_server()
    first = server.ensure()
    psutil.Process(first.pid).kill()

    second = server.ensure()

    assert second.pid != first.pid
    assert second.api_url == first.api_url
    wait_until(lambda: server.status().answering, what="an answer in time")


def test_what_a_person_stopped_stays_stopped_for_background_processes():
    """A mirror that began before the stop does not undo it; one that begins later may start it."""
    server = resident_server()
    began = time.time()
    assert server.stop()
    try:
        assert not server.status().alive
        with pytest.raises(PrefectUnavailable, match="was stopped"):
            server.ensure(unless_stopped_since=began)
        assert not server.stop()
    finally:
        server.ensure(unless_stopped_since=time.time())


def test_another_process_under_the_same_number_is_not_taken_for_the_server(tmp_path):
    """Process numbers come back; the time of birth tells who is who."""
    server = ResidentServer(tmp_path)
    server.home.mkdir()
    record = {"port": 4299, "pid": os.getpid(), "created": 1.0, "started": 1.0, "stopped": 0.0}
    (server.home / "server.json").write_text(json.dumps(record))

    status = server.status()

    assert not status.alive
    assert not status.answering


class Well(BaseHTTPRequestHandler):
    """Says what a Prefect server says of its health."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"true")

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def foreign():
    """The port of a server that answers, in this very process."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Well) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield server.server_address[1]
        server.shutdown()
        serving.join(10)


def started(server: ResidentServer, port: int, pid: int) -> None:
    """Leave the record of a start, as `_start` does."""
    server._write(
        ServerRecord(port=port, pid=pid, created=born(psutil.Process(pid)), started=time.time())
    )


def test_a_server_of_others_on_its_port_is_not_taken_for_it(tmp_path, monkeypatch, foreign):
    """It took the port while ours started: ours ends, and the next start takes another port."""
    server = ResidentServer(tmp_path)
    waiting = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    starts: list[int] = []

    def start(former):
        # The second one is this process, where a server does answer.
        starts.append(former.port if former else 0)
        started(server, foreign, os.getpid())
        return server._read()

    monkeypatch.setattr(server, "_start", start)
    # As it goes on waiting, the process that found no port ends.
    ends = lambda seconds: waiting.communicate()  # noqa: E731
    monkeypatch.setattr(prefect_server.time, "sleep", ends)
    server.home.mkdir()
    with waiting:
        started(server, foreign, waiting.pid)
        status = server.status()
        assert (status.alive, status.answering) == (True, False)
        assert server.ensure(seconds=60).pid == os.getpid()
    assert starts == [foreign]
    wait_until(lambda: server.status().answering, what="an answer in time")


def test_a_torn_record_is_as_good_as_none(tmp_path):
    """A full disk may leave half a record."""
    server = ResidentServer(tmp_path)
    server.home.mkdir()
    (server.home / "server.json").write_text('{"port": 42')

    assert server.status().record is None
    assert not server.stop()


def test_a_port_that_another_program_took_is_given_up(tmp_path):
    """The address changes rather than the server failing for ever."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        assert prefect_server._free_port(taken) not in {0, taken}


def test_something_else_on_the_port_is_no_prefect():
    """A listener that says nothing, or something else, is not taken for a server."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert not is_answering(f"http://127.0.0.1:{port}/api", timeout=0.2)
    assert not is_answering(f"http://127.0.0.1:{port}/api", timeout=0.2)


@pytest.mark.parametrize(
    ("setting", "environ", "expected"),
    [
        ("http://there:4200/api/", {}, "http://there:4200/api"),
        ("https://there/api", {"PREFECT_API_URL": "http://other/api"}, "https://there/api"),
        ("auto", {"PREFECT_API_URL": "http://other/api"}, "http://other/api"),
    ],
)
def test_the_address_that_somebody_chose(setting, environ, expected):
    """The setting comes before the environment."""
    assert chosen_url(setting, environ) == expected


def test_an_address_that_is_none_is_said_so():
    """A typing slip does not become a server of our own."""
    with pytest.raises(BadSetting, match="neither auto, off nor an address"):
        chosen_url("localhost:4200", {})


def test_a_server_whose_directory_is_removed_is_told_to_end(tmp_path):
    """It stays while its directory does."""
    home = tmp_path / "prefect"
    home.mkdir()
    server = SimpleNamespace(should_exit=False)
    looking = threading.Thread(
        target=prefect_host.leave_without, args=(home, server), kwargs={"look_seconds": 0.01}
    )
    looking.start()
    looking.join(0.1)
    assert not server.should_exit
    home.rmdir()
    looking.join(30)
    assert server.should_exit
