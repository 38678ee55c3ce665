"""A small authority of certificates, for people who have none: `nsu tls` (cryptography's one door).

A folder holds the authority (ca.crt, ca.key) and what it has issued (NAME.crt, NAME.key). ca.crt goes to every machine;
NAME.crt and NAME.key go to the machine of that name; ca.key stays, and can be taken off line between two orders. Keys
are of the curve P-256, files with keys have mode 0600, and nothing that is there is written over.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA = "ca"
CA_DAYS = 3650
DAYS = 825
"""How long a certificate is good when nobody says."""
WARN_DAYS = 30
EARLY = timedelta(hours=1)
"""A certificate is good from a while before it was made: clocks differ."""


class AuthorityError(Exception):
    """The authority can't do it; the text is a sentence for people."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A certificate, for people."""

    path: Path
    names: tuple[str, ...]
    until: datetime
    fingerprint: str
    """SHA-256 in hexadecimal digits."""
    is_authority: bool


def make_authority(folder: Path, name: str, *, days: int = CA_DAYS) -> Shown:
    """Make the authority of `folder`, which is made too when it is not there.

    Raises:
        AuthorityError: there is one already, or the folder can't be written.

    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name} NSU authority")])
    builder = _builder(subject, subject, key.public_key(), days).add_extension(
        x509.BasicConstraints(ca=True, path_length=0), critical=True
    )
    builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise AuthorityError(f"{folder} can't be made: {error.strerror}") from error
    return _write(folder, CA, builder.sign(key, hashes.SHA256()), key)


def issue(folder: Path, name: str, addresses: Sequence[str] = (), *, days: int = DAYS) -> Shown:
    """Issue a certificate for the machine `name` at `addresses`: good for both roles.

    Raises:
        AuthorityError: there is no authority in `folder`, or a certificate of that name; or an address is none.

    """
    if name == CA:
        raise AuthorityError(f"{CA} is the authority's own name; give the machine's")
    authority, authority_key = _load(folder)
    try:
        named: list[x509.GeneralName] = [x509.DNSName(name)]
        named += [x509.IPAddress(ip_address(address)) for address in addresses]
    except ValueError as error:
        raise AuthorityError(f"{error}; a name is of ASCII letters, an address is numeric") from error
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = _builder(subject, authority.subject, key.public_key(), days)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(x509.SubjectAlternativeName(named), critical=False)
    builder = builder.add_extension(_usage(signs_certificates=False), critical=True)
    # Authorities of different folders may have one name: their keys tell them apart.
    by = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    builder = builder.add_extension(by, critical=False)
    both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = builder.add_extension(x509.ExtendedKeyUsage(both), critical=False)
    return _write(folder, name, builder.sign(authority_key, hashes.SHA256()), key)


def show(path: Path) -> Shown:
    """Say whose certificate a PEM file holds (its first), and till when.

    Raises:
        AuthorityError: it holds none.

    """
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as error:
        raise AuthorityError(f"{path} can't be read: {error.strerror}") from error
    except ValueError as error:
        raise AuthorityError(f"{path} holds no certificate in PEM") from error
    return _shown(path, certificate)


def show_all(folder: Path) -> list[Shown]:
    """Show each certificate in `folder`, the authority first. Raises AuthorityError."""
    found = [show(path) for path in sorted(folder.glob("*.crt"))]
    return sorted(found, key=lambda each: not each.is_authority)


def expiry_words(path: Path, now: datetime) -> str:
    """Warn of a certificate that has ended, or ends within WARN_DAYS; empty: it is good, or can't be read here."""
    try:
        until = show(path).until
    except AuthorityError:
        return ""
    if until <= now:
        return f"the certificate {path} has expired at {_at(until)}: no connection by TLS is made with it"
    days = (until - now).days
    if days >= WARN_DAYS:
        return ""
    return f"the certificate {path} expires in {days} days, at {_at(until)}; put a new one in its place"


def _at(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    return builder.not_valid_before(now - EARLY).not_valid_after(now + timedelta(days=days))


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _load(folder: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    try:
        certificate = x509.load_pem_x509_certificate((folder / f"{CA}.crt").read_bytes())
        key = serialization.load_pem_private_key((folder / f"{CA}.key").read_bytes(), None)
    except OSError as error:
        raise AuthorityError(f"{error.filename} can't be read: {error.strerror}; nsu tls init makes it") from error
    except (ValueError, TypeError) as error:
        raise AuthorityError(f"{folder}/{CA}.crt and {CA}.key are no certificate and key in PEM") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise AuthorityError(f"{folder}/{CA}.key is not the key of {CA}.crt")
    return certificate, key


def _write(folder: Path, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Shown:
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / f"{name}.crt"
    try:
        if path.exists():
            raise FileExistsError(17, "File exists", str(path))
        _write_new(folder / f"{name}.key", secret, 0o600)
        _write_new(path, certificate.public_bytes(pem), 0o644)
    except FileExistsError as error:
        raise AuthorityError(f"{error.filename} is there already; move it away first") from error
    except OSError as error:
        raise AuthorityError(f"{folder} can't be written: {error.strerror}") from error
    return _shown(path, certificate)


def _write_new(path: Path, data: bytes, mode: int) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "wb") as file:
        file.write(data)


def _shown(path: Path, certificate: x509.Certificate) -> Shown:
    try:
        san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = (*san.get_values_for_type(x509.DNSName), *map(str, san.get_values_for_type(x509.IPAddress)))
    except x509.ExtensionNotFound:
        names = tuple(str(each.value) for each in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME))
    try:
        is_authority = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        is_authority = False
    digest = certificate.fingerprint(hashes.SHA256()).hex()
    return Shown(path, names, certificate.not_valid_after_utc, digest, is_authority)
