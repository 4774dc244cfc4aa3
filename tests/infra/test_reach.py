"""Where a fleet listens, and what a person may write for it."""

from __future__ import annotations

import pytest

from proctor.infra.errors import BadSetting
from proctor.infra.fleet.reach import (
    Reach,
    is_loopback,
    listening_host,
    own_address,
    refuse_in_the_clear,
)


def test_on_loopback_nothing_has_to_be_shown():
    """With certificates it is another kind of address."""
    assert Reach().address(8786) == "tcp://127.0.0.1:8786"
    assert Reach(host="10.0.0.5", certs="/c").address(8786) == "tls://10.0.0.5:8786"
    assert Reach(host="fd00::5", certs="/c").address(1) == "tls://[fd00::5]:1"


def test_names_of_this_machine_become_addresses():
    """Workers elsewhere are told an address."""
    assert is_loopback(listening_host("localhost"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0.0.0.0", "says every address"),
        ("::", "says every address"),
        ("192.0.2.254", "is no address of this machine"),
        ("no-such-host.invalid", "is no address of this machine"),
        ("a" * 80, "is no address of this machine"),
    ],
)
def test_other_addresses_are_refused(text, reason):
    """In a line that names what was typed."""
    with pytest.raises(BadSetting, match=reason) as refused:
        listening_host(text)
    assert text in str(refused.value)


def test_the_own_address_is_that_which_the_scheduler_sees():
    """Of a scheduler on this machine, loopback."""
    assert own_address("tcp://127.0.0.1:8786") == "127.0.0.1"


@pytest.mark.parametrize("address", ["tcp://192.0.2.7:8786", "tcp://[2001:db8::7]:8786"])
def test_nobody_speaks_in_the_clear_beyond_this_machine(address):
    """Whoever is between would say what is run here."""
    with pytest.raises(BadSetting, match="is a fleet in the clear"):
        refuse_in_the_clear(address)
    refuse_in_the_clear(address.replace("tcp", "tls"))
    refuse_in_the_clear("tcp://127.0.0.1:8786")
    refuse_in_the_clear("tcp://[::1]:8786")
