"""Who can reach a fleet: this machine alone, or, with certificates, others."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from pathlib import Path

from ..errors import BadSetting, FleetUnavailable
from ..listener import place_of

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Where the scheduler listens, and what it wants to be shown there."""

    host: str = LOOPBACK
    # The directory of the certificates; empty on loopback.
    certs: str = ""

    @property
    def is_local(self) -> bool:
        return not self.certs

    def address(self, port: int) -> str:
        """For workers and campaigns."""
        return f"{'tls' if self.certs else 'tcp'}://{_bracketed(self.host)}:{port}"

    @property
    def directory(self) -> Path | None:
        return Path(self.certs) if self.certs else None


def listening_host(text: str) -> str:
    """The address of this machine that a person names; refused when it is none of its own."""
    try:
        found = socket.getaddrinfo(text, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as problem:
        raise BadSetting(
            f"--listen {text!r} is no address of this machine ({problem})",
            remedy="write an address or a name by which other machines reach this one",
        ) from problem
    address = str(found[0][4][0])
    if ipaddress.ip_address(address.partition("%")[0]).is_unspecified:
        raise BadSetting(
            f"--listen {text} says every address, and workers need one to come to",
            remedy="write the address or name by which other machines reach this one",
        )
    with socket.socket(found[0][0]) as probe:
        try:
            probe.bind((address, 0))
        except OSError as problem:
            raise BadSetting(
                f"--listen {text} ({address}) is no address of this machine",
                remedy="write one that `hostname -I` shows",
            ) from problem
    return address


def address_of(host: str) -> str:
    """The address behind a name, wherever that is."""
    try:
        return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])
    except (OSError, UnicodeError) as problem:
        raise BadSetting(
            f"{host!r} is no machine that can be found ({problem})",
            remedy="write the name or address that `proctor up --listen` was given",
        ) from problem


def is_loopback(host: str) -> bool:
    return ipaddress.ip_address(host.partition("%")[0]).is_loopback


def refuse_in_the_clear(address: str) -> None:
    """On a network whoever is between hears all, and says what is run; on loopback nobody is."""
    if not address.startswith("tls://") and not is_loopback(address_of(place_of(address)[0])):
        raise BadSetting(
            f"{address} is a fleet in the clear: whoever reaches its workers has them do anything",
            remedy="start the fleet with `proctor certs` and `proctor up --listen HOST`",
        )


def own_address(scheduler: str) -> str:
    """The address of this machine that the scheduler at an address sees."""
    host = place_of(scheduler)[0]
    try:
        # Nothing is sent: the kernel only chooses the way.
        family = socket.getaddrinfo(host, 9, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family[0], socket.SOCK_DGRAM) as probe:
            probe.connect(family[4])
            return str(probe.getsockname()[0])
    except OSError as problem:
        raise FleetUnavailable(
            f"there is no way from here to {host} ({problem})",
            remedy="look at the network, or say this machine's own address with --host",
        ) from problem


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
