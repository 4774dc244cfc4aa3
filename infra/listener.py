"""Whether anybody listens at an address: where nobody does, that is known at once."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from .errors import FleetUnavailable

# A scheduler that is being started again answers sooner.
REFUSED_SECONDS = 3.0
LOOK_SECONDS = 0.1

Connect = Callable[[tuple[str, int], float], socket.socket]


def no_scheduler(address: str, how: str) -> FleetUnavailable:
    """What a person is told where nobody answers; `how` ends the sentence."""
    return FleetUnavailable(
        f"no Dask scheduler answers at {address} {how}",
        remedy="start a fleet with `proctor up`, or leave `fleet` unset to use a local one",
    )


def somebody_listens(address: str, *, connect: Connect = socket.create_connection) -> bool:
    """Whether a connection can be had there now."""
    where = urlsplit(address)
    try:
        connect((where.hostname or "", where.port or 0), REFUSED_SECONDS).close()
    except OSError:
        return False
    return True


def await_listener(
    address: str,
    *,
    seconds: float = REFUSED_SECONDS,
    connect: Connect = socket.create_connection,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Return once connections are not refused there; refuse an address where they are for so long.

    One that only stays silent is left to whoever speaks with it, and to their deadline.
    """
    where = urlsplit(address)
    end = time.monotonic() + seconds
    while True:
        try:
            connect((where.hostname or "", where.port or 0), REFUSED_SECONDS).close()
        except (ConnectionRefusedError, socket.gaierror) as refusal:
            if time.monotonic() >= end:
                raise no_scheduler(address, f"({refusal.strerror})") from refusal
        except OSError:
            return
        else:
            return
        pause(LOOK_SECONDS)
