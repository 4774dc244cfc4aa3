"""Ports for services: what cannot be one is refused, and a taken one says by whom."""

from __future__ import annotations

import socket

import pytest

from proctor.deployments.standing.free_ports import PORTS, choose_port
from proctor.infra.errors import BadSetting

HOST = "127.0.0.1"


@pytest.mark.parametrize("port", [-1, 65_536, 99_999])
def test_what_is_no_port_is_refused(port):
    """In a line, before anything is bound."""
    with pytest.raises(BadSetting, match=f"--port {port} is no port; give one from 1 to 65535"):
        choose_port(HOST, port, 0)


def test_a_taken_port_is_refused_with_its_taker():
    """Nobody has to look for who has it."""
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(BadSetting, match=f"port {port} is taken by .*pid"):
            choose_port(HOST, port, 0)
        assert choose_port(HOST, 0, port) in PORTS


def test_a_fleet_keeps_the_port_of_last_time():
    """Campaigns find it again there."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        free = probe.getsockname()[1]
    assert choose_port(HOST, 0, free) == free
