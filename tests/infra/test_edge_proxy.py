"""The proxy at a worker's edge does what its rules say, while they are there."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from waiting import wait_until

from proctor.infra.fleet.chaos_mark import mark
from proctor.infra.fleet.edge_proxy import Rules, read_rules
from proctor.infra.fleet.edges import PROXY, open_edges


@pytest.fixture
def echo() -> Iterator[int]:
    """A server that sends back what it gets."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer(connection: socket.socket) -> None:
            with connection:
                try:
                    while piece := connection.recv(65536):
                        connection.sendall(piece)
                except OSError:
                    return

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    return tmp_path / "edges" / "cpu-1"


@pytest.fixture
def port(echo: int, rules: Path) -> Iterator[int]:
    """Where the proxy before it listens."""
    command = [sys.executable, "-S", str(PROXY), "--parent", str(os.getpid())]
    with subprocess.Popen(
        [*command, "--rules", str(rules), "--edge", f"out=127.0.0.1:{echo}"],
        stdout=subprocess.PIPE,
    ) as proxy:
        assert proxy.stdout is not None
        yield json.loads(proxy.stdout.readline())["out"]
        proxy.kill()


def rule(rules: Path, text: str) -> Path:
    """Appears whole: whoever looks in between would take it for none."""
    new, path = rules / "f-1.new", rules / "f-1.json"
    new.write_text(text)
    new.replace(path)
    return path


def said(connection: socket.socket, text: bytes, seconds: float = 60.0) -> bytes:
    """What comes back; nothing if nothing does in time."""
    connection.sendall(text)
    ready, _, _ = select.select([connection], [], [], seconds)
    return connection.recv(65536) if ready else b""


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=60)


def is_over(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except OSError:
        return True


def is_open(port: int) -> bool:
    try:
        with connected(port) as connection:
            return said(connection, b"?") == b"?"
    except OSError:
        return False


def test_without_rules_everything_passes(port: int) -> None:
    """Both ways, and a large piece whole."""
    big = b"x" * 300_000
    with connected(port) as connection:
        assert said(connection, b"hello") == b"hello"
        threading.Thread(target=connection.sendall, args=(big,)).start()
        back = b""
        while len(back) < len(big):
            back += connection.recv(65536)
    assert back == big


def test_a_cut_ends_connections_and_refuses_new_ones(port: int, rules: Path) -> None:
    """Until the rule is gone."""
    with connected(port) as connection:
        assert said(connection, b"hello") == b"hello"
        cut = rule(rules, '{"cut": true}')
        assert is_over(connection)
        wait_until(lambda: not is_open(port), what="new connections to be refused")
    cut.unlink()
    wait_until(lambda: is_open(port), what="the way to be open again")


def test_a_hole_swallows_nothing_for_good(port: int, rules: Path) -> None:
    """What was sent meanwhile arrives when the partition is over, on the same connection."""
    with connected(port) as connection:
        assert said(connection, b"hello") == b"hello"
        hole = rule(rules, '{"hole": true}')
        wait_until(lambda: said(connection, b"a", 0.2) == b"", what="the hole")
        hole.unlink()
        ready, _, _ = select.select([connection], [], [], 60)
        assert ready
        assert connection.recv(65536).startswith(b"a")


def test_rules_add_up(tmp_path: Path) -> None:
    """Latencies sum, the smallest bandwidth holds; a torn file counts as none."""
    for name, text in (
        ("a", '{"latency": 0.1, "bandwidth": 1000}'),
        ("b", '{"latency": 0.2, "bandwidth": 500}'),
        ("c", '{"hole": true}'),
        ("d", '{"cut"'),
    ):
        (tmp_path / f"{name}.json").write_text(text)
    found = read_rules(tmp_path)
    assert found == Rules(latency=pytest.approx(0.3), bandwidth=500, hole=True)


def test_only_a_marked_fleet_has_proxies(tmp_path: Path) -> None:
    """All others speak to their scheduler directly, and pay nothing."""
    scheduler = "tcp://127.0.0.1:1"
    environ = {"PROCTOR_RESIDENT": str(tmp_path)}
    for each in ({}, environ):
        direct = open_edges(each, scheduler, "cpu-1")
        assert (direct.scheduler, direct.proxy) == (scheduler, None)
    mark(tmp_path)
    edges = open_edges(environ, scheduler, "cpu-1")
    try:
        assert edges.proxy is not None
        assert edges.scheduler != scheduler
        assert edges.contact
        assert (tmp_path / "edges" / "cpu-1").is_dir()
    finally:
        edges.close()
