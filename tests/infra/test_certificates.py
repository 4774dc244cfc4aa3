"""Certificates of a fleet: made once, checked before anything is started, renewed by one authority."""

from __future__ import annotations

import contextlib
import shutil
import ssl
import time
from pathlib import Path

import pytest

from proctor.infra.errors import BadSetting, UsageProblem
from proctor.infra.fleet.certificates import (
    Certificates,
    certificates_in,
    days_left,
    make_certificates,
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certs"), days=30)


def copied(made: Certificates, to: Path) -> Path:
    """What another machine has."""
    to.mkdir()
    for path in made.to_copy:
        shutil.copy(path, to)
    return to


def test_what_was_made_can_be_used_where_it_was_copied_to(made, tmp_path):
    """The authority's key is not needed there."""
    found = certificates_in(copied(made, tmp_path / "there"), now=time.time())
    assert not found.authority_key.exists()
    assert 29 < days_left(found, now=time.time()) <= 30
    security = found.security()
    assert security.require_encryption
    for role in ("client", "scheduler", "worker"):
        assert "ssl_context" in security.get_connection_args(role)


def test_the_strictest_handshake_takes_them(made):
    """Python 3.13 looks at what a certificate says its key is for; both sides show theirs."""
    context = ssl.create_default_context(cafile=str(made.authority))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.check_hostname = False
    context.load_cert_chain(made.certificate, made.key)
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(made.authority))
    serving.verify_mode = ssl.CERT_REQUIRED
    serving.verify_flags |= ssl.VERIFY_X509_STRICT
    serving.load_cert_chain(made.certificate, made.key)
    there, here = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(there, here, server_side=False)
    server = serving.wrap_bio(here, there, server_side=True)
    for _ in range(4):
        for side in (client, server):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    assert client.getpeercert()["subject"]
    assert server.getpeercert()["subject"]


def test_keys_are_for_their_owner_alone(made):
    """Nobody else may read what opens the fleet."""
    for path in (made.key, made.authority_key):
        assert path.stat().st_mode & 0o077 == 0


def test_what_is_missing_is_named(made, tmp_path):
    """With the command that makes it."""
    there = copied(made, tmp_path / "there")
    (there / "fleet-key.pem").unlink()
    with pytest.raises(BadSetting, match=r"holds no fleet-key.pem.*proctor certs"):
        certificates_in(there, now=time.time())


def test_a_certificate_that_is_over_is_refused(made):
    """Before a handshake fails somewhere in a log."""
    with pytest.raises(BadSetting, match=r"ended 5 days ago.*--renew"):
        certificates_in(made.directory, now=time.time() + 35 * 86_400)


def test_files_of_two_fleets_are_refused(made, tmp_path):
    """A key of one beside the certificate of another, or two authorities."""
    other = make_certificates(tmp_path / "other")
    mixed = copied(made, tmp_path / "mixed")
    shutil.copy(other.key, mixed)
    with pytest.raises(BadSetting, match="do not belong together"):
        certificates_in(mixed, now=time.time())
    shutil.copy(other.certificate, mixed)
    with pytest.raises(BadSetting, match="two authorities"):
        certificates_in(mixed, now=time.time())


def test_what_cannot_be_read_is_named(made, tmp_path):
    """Also when it is no certificate at all."""
    there = copied(made, tmp_path / "there")
    (there / "fleet.pem").write_text("nonsense")
    with pytest.raises(BadSetting, match=r"fleet\.pem holds no certificate"):
        certificates_in(there, now=time.time())
    shutil.copy(made.certificate, there)
    (there / "fleet-key.pem").write_text("nonsense")
    with pytest.raises(BadSetting, match=r"fleet-key\.pem holds no key"):
        certificates_in(there, now=time.time())


def test_a_renewed_certificate_is_of_the_same_authority(tmp_path):
    """Machines that have the old one still belong to the fleet."""
    made = make_certificates(tmp_path / "certs", days=10)
    authority, certificate = made.authority.read_bytes(), made.certificate.read_bytes()
    make_certificates(made.directory, days=100, renewing=True)
    assert made.authority.read_bytes() == authority
    assert made.certificate.read_bytes() != certificate
    assert days_left(certificates_in(made.directory, now=time.time()), now=time.time()) > 99


def test_only_who_has_the_authority_renews(made, tmp_path):
    """Elsewhere it is said where."""
    with pytest.raises(UsageProblem, match=r"holds no ca-key\.pem"):
        make_certificates(copied(made, tmp_path / "there"), renewing=True)
