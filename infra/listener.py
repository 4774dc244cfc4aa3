"""Whether anybody listens at an address: where nobody does, that is known at once."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from .errors import FleetUnavailable, UsageProblem

# A scheduler that is being started again answers sooner.
REFUSED_SECONDS = 3.0
LOOK_SECONDS = 0.1
# Who speaks TLS answers a greeting at once.
TLS_SECONDS = 2.0

Connect = Callable[[tuple[str, int], float], socket.socket]


def place_of(address: str) -> tuple[str, int]:
    """The host and the port of an address."""
    where = urlsplit(address)
    return where.hostname or "", where.port or 0


def no_scheduler(address: str, how: str) -> FleetUnavailable:
    """What a person is told where nobody answers; `how` ends the sentence."""
    return FleetUnavailable(
        f"no Dask scheduler answers at {address} {how}",
        remedy="start a fleet with `proctor up`, or leave `fleet` unset to use a local one",
    )


def speaks_tls(address: str) -> bool:
    """Whether who listens there wants to be spoken to under TLS."""
    context = ssl.create_default_context()
    # Only the language is looked for: nothing is said, and nobody believed.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection(place_of(address), TLS_SECONDS) as line,
            context.wrap_socket(line),
        ):
            return True
    except OSError:
        return False


def refuse_if_tls(address: str) -> None:
    """Say what is wrong with an address in the clear of a fleet that does not speak so."""
    if address.startswith("tcp://") and speaks_tls(address):
        raise UsageProblem(
            f"the fleet at {address} speaks TLS",
            remedy=f"write tls://{address.removeprefix('tcp://')}, and name its certificates with"
            " --certs",
        )


def somebody_listens(address: str, *, connect: Connect = socket.create_connection) -> bool:
    """Whether a connection can be had there now."""
    try:
        connect(place_of(address), REFUSED_SECONDS).close()
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
    end = time.monotonic() + seconds
    while True:
        try:
            connect(place_of(address), REFUSED_SECONDS).close()
        except (ConnectionRefusedError, socket.gaierror) as refusal:
            if time.monotonic() >= end:
                raise no_scheduler(address, f"({refusal.strerror})") from refusal
        except OSError:
            return
        else:
            return
        pause(LOOK_SECONDS)
