"""Certificates for a fleet that other machines can reach: who holds one belongs to it.

One private authority for each fleet, and one certificate that it signed, which the scheduler, the
workers and the campaigns all show each other. Whoever cannot show one is not heard: to a Dask
scheduler, being heard is being obeyed.
"""

from __future__ import annotations

import datetime as dt
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import BadSetting, UsageProblem
from ..ledgers.append_file import unwritable

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import Certificate, CertificateBuilder, Name
    from distributed.security import Security

# In the environment of a worker: where the certificates are on its machine.
PLACE = "PROCTOR_CERTS"
DAYS = 365
# A person is told of an end that is nearer than this.
WARN_DAYS = 21
# Clocks of two machines may differ by this.
EARLIER = dt.timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Certificates:
    """Where the four files are."""

    directory: Path

    @property
    def authority(self) -> Path:
        return self.directory / "ca.pem"

    @property
    def authority_key(self) -> Path:
        """Makes further certificates; needed nowhere but where they are made."""
        return self.directory / "ca-key.pem"

    @property
    def certificate(self) -> Path:
        return self.directory / "fleet.pem"

    @property
    def key(self) -> Path:
        return self.directory / "fleet-key.pem"

    @property
    def to_copy(self) -> tuple[Path, ...]:
        """What every machine of the fleet needs."""
        return (self.authority, self.certificate, self.key)

    @property
    def exist(self) -> bool:
        return all(path.is_file() for path in self.to_copy)

    def security(self) -> Security:
        """What Dask is given: all speak encrypted, and show the certificate to each other."""
        from distributed.security import Security

        files = {"cert": str(self.certificate), "key": str(self.key)}
        return Security(
            require_encryption=True,
            tls_ca_file=str(self.authority),
            **{
                f"tls_{role}_{part}": file
                for role in ("client", "scheduler", "worker")
                for part, file in files.items()
            },
        )


def certificates_in(directory: Path, *, now: float) -> Certificates:
    """Those of a directory; refused when one is missing, over, or no pair."""
    found = Certificates(directory)
    missing = [path.name for path in found.to_copy if not path.is_file()]
    if missing:
        raise BadSetting(
            f"{directory} holds no {', '.join(missing)}",
            remedy="make certificates with `proctor certs`, or copy those of the fleet there"
            " (--certs names another directory)",
        )
    left = days_left(found, now=now)
    if left <= 0:
        raise BadSetting(
            f"the certificate {found.certificate} ended {-left:.0f} days ago",
            remedy="`proctor certs --renew` where the fleet is, and copy the files again",
        )
    _check_pair(found)
    return found


def days_left(certificates: Certificates, *, now: float) -> float:
    """Until the fleet's certificate ends."""
    end = min(
        _read(path).not_valid_after_utc.timestamp()
        for path in (certificates.certificate, certificates.authority)
    )
    return (end - now) / 86_400


def make_certificates(directory: Path, *, days: int = DAYS, renewing: bool = False) -> Certificates:
    """Make an authority once, and with it a certificate for the fleet.

    One that is renewed is of the same authority: machines that have the old one are still heard.
    """
    made = Certificates(directory)
    try:
        has_authority = made.authority_key.is_file()
        if not has_authority and (renewing or made.authority.exists()):
            raise UsageProblem(
                f"{directory} holds no {made.authority_key.name}, which signs certificates",
                remedy="do it where the authority was made, and copy the files from there",
            )
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not has_authority:
            _make_authority(made)
        _make_fleet(made, days)
    except OSError as problem:
        raise unwritable(directory, problem) from problem
    return made


def _make_authority(made: Certificates) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("Proctor fleet authority")
    builder = _builder(name, name, key, days=10 * 365)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    # Python 3.13 takes no authority that does not say what its key is for.
    builder = builder.add_extension(
        x509.KeyUsage(
            digital_signature=False,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        ),
        critical=True,
    )
    _write_key(made.authority_key, key)
    _write_certificate(made.authority, builder, key)


def _make_fleet(made: Certificates, days: int) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    authority = _read(made.authority)
    signer = load_pem_private_key(made.authority_key.read_bytes(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey), "we made it"
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(_name("Proctor fleet"), authority.subject, key, days=days)
    builder = builder.add_extension(
        x509.BasicConstraints(ca=False, path_length=None), critical=True
    )
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
    )
    _write_key(made.key, key)
    _write_certificate(made.certificate, builder, signer)


def _builder(
    subject: Name, issuer: Name, key: EllipticCurvePrivateKey, *, days: int
) -> CertificateBuilder:
    from cryptography import x509

    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - EARLIER)
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _name(text: str) -> Name:
    from cryptography import x509

    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def _write_certificate(
    path: Path, builder: CertificateBuilder, signer: EllipticCurvePrivateKey
) -> None:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.serialization import Encoding

    signed = builder.sign(signer, hashes.SHA256())
    _replace(path, signed.public_bytes(Encoding.PEM), mode=0o644)


def _write_key(path: Path, key: EllipticCurvePrivateKey) -> None:
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    _replace(path, text, mode=0o600)


def _replace(path: Path, content: bytes, *, mode: int) -> None:
    """Whole or not at all, and never readable by others for a moment."""
    beside = path.with_suffix(".new")
    with suppress(FileNotFoundError):
        beside.unlink()
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
    beside.replace(path)


def _read(path: Path) -> Certificate:
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as problem:
        raise BadSetting(
            f"{path} holds no certificate that can be read",
            remedy="copy it again, or make new ones with `proctor certs`",
        ) from problem


def _check_pair(found: Certificates) -> None:
    """A key of one fleet beside the certificate of another would fail in the handshake."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    certificate, authority = _read(found.certificate), _read(found.authority)
    try:
        key = load_pem_private_key(found.key.read_bytes(), None)
    except (OSError, ValueError, TypeError) as problem:
        raise BadSetting(
            f"{found.key} holds no key that can be read",
            remedy="copy it again; it must be readable for whoever runs Proctor",
        ) from problem
    if key.public_key() != certificate.public_key():
        raise BadSetting(
            f"{found.key.name} and {found.certificate.name} in {found.directory} do not belong"
            " together",
            remedy="copy both from where the fleet is",
        )
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError, TypeError) as problem:
        raise BadSetting(
            f"{found.certificate.name} and {found.authority.name} in {found.directory} are of"
            " two authorities",
            remedy="copy both from where the fleet is",
        ) from problem
