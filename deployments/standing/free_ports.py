"""Ports for services: the one that was asked for, that of last time, or a free one."""

from __future__ import annotations

import random
import socket
from typing import Any

import psutil

from ...infra.errors import BadSetting, FleetUnavailable

# Below the range the kernel takes outgoing ports from: a remembered port stays free.
PORTS = range(8786, 8886)
MOST = 2**16


def choose_port(host: str, asked: int, former: int) -> int:
    """A port nobody listens on; campaigns find the fleet again on the one of last time."""
    if not 0 <= asked < MOST:
        raise BadSetting(f"--port {asked} is no port", remedy=f"give one from 1 to {MOST - 1}")
    if asked:
        taken = taken_line(host, asked)
        if taken:
            raise BadSetting(taken, remedy="give --port another, or none")
        return asked
    # In no order: two fleets that start at the same moment would choose the same first free one.
    for port in ([former] if former else []) + random.sample(PORTS, len(PORTS)):
        if _is_free(host, port):
            return port
    raise FleetUnavailable(
        f"all ports from {PORTS.start} to {PORTS.stop - 1} are taken", remedy="give one with --port"
    )


def taken_line(host: str, port: int) -> str:
    """Who has a port, where we may know; empty if it can be had."""
    return "" if _is_free(host, port) else f"port {port} is taken{_taker(port)}"


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        # As servers do: a port in TIME_WAIT can be had.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def _taker(port: int) -> str:
    """Who listens there, where we may know."""
    try:
        for connection in psutil.net_connections("tcp"):
            place: Any = connection.laddr
            listens = connection.status == psutil.CONN_LISTEN and place
            if listens and place.port == port and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except (psutil.AccessDenied, psutil.NoSuchProcess):
        return ""
    return ""
