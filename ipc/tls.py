"""Who we are and whom we believe, for TLS 1.3: a certificate, its key, and the authority that all certificates are of.

Both sides show a certificate, and nothing older than TLS 1.3 is spoken. There is no resumption of sessions: each socket
proves itself whole. Which names a certificate must bear is for the two ends to say (`tls_stream.py`).

A renewed certificate is taken by itself: `Tls.identity` looks at the files, and reads them again when one has changed.
"""

import os
import ssl
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from ipc.say import say


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Three PEM files."""

    cert: Path
    """Our certificate, with those that lead to its root."""
    key: Path
    """Its private key, without a password."""
    ca: Path
    """The certificates of the authorities that we believe."""


@dataclass(frozen=True, slots=True, eq=False)
class TlsIdentity:
    """What was read from the files, for one side of a socket."""

    context: ssl.SSLContext
    fingerprint: bytes
    """SHA-256 of our certificate (DER)."""
    server_side: bool


def read_identity(files: TlsFiles, *, server_side: bool) -> TlsIdentity:
    """Read the files.

    Raises:
        OSError: one of them can't be read, or is no such thing (ssl.SSLError); the text is for people.

    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server_side else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # a host has a name that DNS need not know: `TlsStream.require_name`
    context.verify_mode = ssl.CERT_REQUIRED
    if server_side:
        context.num_tickets = 0
    try:
        # An empty password instead of a question at the terminal of whoever starts us.
        context.load_cert_chain(files.cert, files.key, password=lambda: "")
    except ssl.SSLError as error:
        what = f"{files.cert} and {files.key} are no certificate and its key without a password, in PEM"
        raise OSError(error.errno, what) from error
    except OSError as error:
        raise OSError(error.errno, f"{files.cert} or {files.key} can't be read: {error.strerror}") from error
    try:
        context.load_verify_locations(files.ca)
    except ssl.SSLError as error:
        raise OSError(error.errno, f"{files.ca} holds no certificate of an authority, in PEM") from error
    except OSError as error:
        raise OSError(error.errno, f"{files.ca} can't be read: {error.strerror}") from error
    return TlsIdentity(context, sha256(first_certificate(files.cert)).digest(), server_side)


def first_certificate(file: Path) -> bytes:
    """Give the first certificate of a PEM file that is known to hold one, in DER: the machine's own."""
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    text = file.read_text()
    start = text.index(begin)
    return ssl.PEM_cert_to_DER_cert(text[start : text.index(end, start) + len(end)])


class Tls:
    """The identity of one side, as its files are now.

    Raises:
        OSError: at first the files must be good; see `read_identity`.

    """

    def __init__(self, files: TlsFiles, *, server_side: bool) -> None:
        self.files = files
        self.server_side = server_side
        self._seen = self._look()
        self._identity = read_identity(files, server_side=server_side)

    def identity(self) -> TlsIdentity:
        """Give it; files that have become bad change nothing, and it is said once."""
        seen = self._look()
        if seen != self._seen:
            self._seen = seen
            try:
                self._identity = read_identity(self.files, server_side=self.server_side)
            except OSError as error:
                say(
                    f"nsu: the TLS files have changed and can't be used, the former certificate stays: {error.strerror}"
                )
        return self._identity

    def _look(self) -> tuple[tuple[int, int] | None, ...]:
        return tuple(_mark(path) for path in (self.files.cert, self.files.key, self.files.ca))


def _mark(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns
