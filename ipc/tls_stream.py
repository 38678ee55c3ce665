"""A TCP socket with TLS 1.3 on it, which looks like the socket to whoever receives and sends.

Rules
  * It is made of a connected socket, which it takes over; `shake_hands` until it returns; then receive and send. The
    socket may block, have a timeout, or not block: each behaves as without TLS (BlockingIOError, TimeoutError).
  * `more` after a receive: all that was asked for was filled, so more may lie here, of which poll knows nothing. A
    receive of ROOM_BYTES or more never leaves anything behind, but for the piece of a record that has not come whole.
  * While the kernel has not taken all of what was encrypted, the last byte that was sent is not reported as sent: who
    sends asks for POLLOUT, and comes again with the same bytes, as with any socket. So what is reported as sent is a
    lower bound of what the peer can have, and short by no whole request that it can have.
  * After a fork only one of the two processes may go on with it: two would encrypt under the same numbers. The other
    calls `close`, which says nothing on the wire.
  * No close_notify is sent or awaited. In our protocols the end of a stream says only that it has ended: what was not
    answered is fenced, or sent again.
  * No key encrypts more than KEY_BYTES_MOST: then the socket fails, and its path is opened anew by itself.

Raises OSError (EPROTO) with a sentence for whatever TLS finds wrong.
"""

import socket
import ssl
from collections.abc import Iterable
from contextlib import suppress
from errno import EPROTO
from hashlib import sha256
from ipaddress import ip_address
from typing import Any, Final

from ipc.tls import TlsIdentity

RECORD_BYTES: Final = 16384 + 256 + 5
"""RFC 8446, 5.2: a record's plaintext, what encryption adds, and its header; at most."""
RAW_BYTES: Final = 256 << 10
ROOM_BYTES: Final = 3 * RECORD_BYTES
SEND_BYTES: Final = 256 << 10
"""Encrypted at once; more waits in clear, where it lies."""
KEY_BYTES_MOST: Final = 1 << 38
"""RFC 8446, 5.5: AES-GCM is good for 2**24.5 full records under one key; this is 2**24. OpenSSL renews none itself."""
CLIENT_HELLO: Final = b"\x16\x03"
"""RFC 8446, 5.1: a handshake record, of whatever version 3.x. No first message of ours begins so."""

WORDS: Final = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "it shows no certificate",
    "WRONG_VERSION_NUMBER": "it answers in clear, not by TLS: is there a TLS_CERT in its NSU block?",
    "UNSUPPORTED_PROTOCOL": "it does not speak TLS 1.3",
    "TLSV1_ALERT_PROTOCOL_VERSION": "it does not speak TLS 1.3",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "it wants a certificate of us",
    "TLSV1_ALERT_UNKNOWN_CA": "it does not believe the authority of our certificate",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "it says that our certificate has expired",
    "SSLV3_ALERT_BAD_CERTIFICATE": "it does not accept our certificate",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "it does not accept our certificate",
    "TLSV1_ALERT_DECRYPT_ERROR": "it does not accept our certificate",
    "UNSUPPORTED_CERTIFICATE": "it does not accept our certificate",
    "DECRYPTION_FAILED_OR_BAD_RECORD_MAC": "what came was damaged or forged on its way",
}
"""OpenSSL's reason -> what is wrong, said of the peer."""


class TlsStream(socket.socket):
    """One socket with TLS."""

    def __init__(self, sock: socket.socket, identity: TlsIdentity) -> None:
        timeout_s = sock.gettimeout()
        super().__init__(sock.family, sock.type, sock.proto, fileno=sock.detach())
        self.settimeout(timeout_s)
        self.identity = identity
        self.more = False
        self.names: frozenset[str] = frozenset()
        """Whom the peer's certificate names; of use after the handshake."""
        self.fingerprint = b""
        """SHA-256 of the peer's certificate (DER)."""
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = identity.context.wrap_bio(self._incoming, self._outgoing, server_side=identity.server_side)
        self._raw = memoryview(bytearray(RECORD_BYTES))
        self._unsent = memoryview(b"")
        """Encrypted, and not yet taken by the kernel."""
        self._owes = False
        """The last byte that was encrypted is not yet reported as sent."""
        self._received_bytes = self._sent_bytes = 0

    # -- the handshake -------------------------------------------------------------------------------------------

    def shake_hands(self) -> None:
        """Go on with the handshake; done when this returns. BlockingIOError: call again when there is more to read."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._send_flight()
                if self._fetch(RECORD_BYTES) == 0:
                    raise OSError(EPROTO, "it ended the connection during the TLS handshake") from None
            except ssl.SSLError as error:
                with suppress(OSError):  # the peer is told why, if it still listens
                    self._send_flight()
                raise OSError(EPROTO, words_of(error)) from error
            else:
                self._send_flight()
                certificate = self._tls.getpeercert(binary_form=True)
                assert certificate is not None, "CERT_REQUIRED"
                self.fingerprint = sha256(certificate).digest()
                self.names = names_in(self._tls.getpeercert() or {})
                self._raw = memoryview(bytearray(RAW_BYTES))
                return

    def require_name(self, *names: str) -> None:
        """Raise OSError when the peer's certificate bears none of `names`."""
        if self.names.isdisjoint(name.lower() for name in names):
            raise OSError(EPROTO, f"its certificate names {name_words(self.names)}, and not {' or '.join(names)}")

    def _send_flight(self) -> None:
        """Send a flight of the handshake: a few KiB, into an empty buffer."""
        data = self._outgoing.read()
        if data and super().send(data) < len(data):
            raise OSError(EPROTO, "it does not read what the TLS handshake says")

    # -- receiving -----------------------------------------------------------------------------------------------

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        """As socket.recv."""
        data = bytearray(bufsize)
        return bytes(data[: self.recv_into(data, 0, flags)])

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """As socket.recv_into."""
        assert not flags, "of use on clear sockets alone"
        view = memoryview(buffer)
        return self._receive([view[:nbytes] if nbytes else view])

    def recvmsg_into(
        self, buffers: Iterable[Any], ancbufsize: int = 0, flags: int = 0
    ) -> tuple[int, list[tuple[int, int, bytes]], int, Any]:
        """As socket.recvmsg_into, without ancillary data."""
        del ancbufsize, flags
        return self._receive([memoryview(buffer) for buffer in buffers]), [], 0, None

    def _receive(self, views: list[memoryview]) -> int:
        self.more = False
        room_bytes = sum(map(len, views))
        # What is buffered here is less than a record; with what is fetched, it fits into what was asked for.
        size_bytes = max(RECORD_BYTES, min(RAW_BYTES, room_bytes - RECORD_BYTES))
        while (count := self._decrypt(views)) == 0:
            if self._fetch(size_bytes) == 0:
                return 0
        self.more = count == room_bytes
        return count

    def _decrypt(self, views: list[memoryview]) -> int:
        """Fill `views`, one after the other, with what can be decrypted now."""
        got = 0
        try:
            for view in views:
                filled = 0
                while filled < len(view):
                    count = self._tls.read(len(view) - filled, view[filled:])
                    if not count:
                        return got  # a close_notify: the end of the stream follows
                    filled += int(count)
                    got += int(count)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLEOFError:
            pass  # after the stream's end; `_fetch` says so again
        except ssl.SSLError as error:
            if not got:  # what came before it is good; it comes again
                raise OSError(EPROTO, words_of(error)) from error
        return got

    def _fetch(self, size_bytes: int) -> int:
        """Get at most `size_bytes` from the kernel; 0: the stream has ended."""
        count = super().recv_into(self._raw[:size_bytes])
        self._incoming.write(self._raw[:count])
        self._received_bytes += count
        self._check_keys(self._received_bytes)
        return count

    # -- sending -------------------------------------------------------------------------------------------------

    def send(self, data: Any, flags: int = 0) -> int:
        """As socket.send."""
        del flags
        return self._send([memoryview(data)])

    def sendall(self, data: Any, flags: int = 0) -> None:
        """As socket.sendall, on a socket that waits."""
        del flags
        view = memoryview(data)
        while view:
            view = view[self._send([view]) :]

    def sendmsg(self, buffers: Iterable[Any], ancdata: Iterable[Any] = (), flags: int = 0, address: Any = None) -> int:
        """As socket.sendmsg, without ancillary data."""
        del ancdata, flags, address
        return self._send(buffers)

    def _send(self, buffers: Iterable[Any]) -> int:
        self._push()
        if self._owes:
            self._owes = False
            return 1
        data = b"".join(_first_of(buffers))
        if not data:
            return 0
        try:
            self._tls.write(data)
        except ssl.SSLError as error:
            raise OSError(EPROTO, words_of(error)) from error
        self._sent_bytes += len(data)
        self._check_keys(self._sent_bytes)
        self._unsent = memoryview(self._outgoing.read())
        try:
            self._push()
        except BlockingIOError:
            self._owes = True
            return len(data) - 1
        return len(data)

    def _push(self) -> None:
        while self._unsent:
            self._unsent = self._unsent[super().send(self._unsent) :]

    def _check_keys(self, moved_bytes: int) -> None:
        if moved_bytes > KEY_BYTES_MOST:
            raise OSError(EPROTO, f"the TLS keys have served for {KEY_BYTES_MOST >> 30} GiB, new ones are made")


def _first_of(buffers: Iterable[Any]) -> list[memoryview]:
    """Take at most SEND_BYTES from the front of `buffers`."""
    taken, room_bytes = [], SEND_BYTES
    for buffer in buffers:
        view = memoryview(buffer)[:room_bytes]
        taken.append(view)
        room_bytes -= len(view)
        if room_bytes == 0:
            break
    return taken


def begins_tls(sock: socket.socket) -> bool | None:
    """Does the peer of a fresh socket speak TLS? Its first bytes are left where they are. None: it has hung up."""
    first = sock.recv(len(CLIENT_HELLO), socket.MSG_PEEK)
    return CLIENT_HELLO.startswith(first) if first else None


def names_in(certificate: dict[str, Any]) -> frozenset[str]:
    """Give the names and addresses of a certificate as `getpeercert` has it, in small letters.

    Those of its subjectAltName; its common name when it has none. A wildcard is a name like another, which nobody has.
    """
    found = set()
    for kind, name in certificate.get("subjectAltName", ()):
        if kind == "DNS":
            found.add(name.lower())
        elif kind == "IP Address":
            with suppress(ValueError):
                found.add(str(ip_address(name.strip())))
    if not found:
        subject = [pair for parts in certificate.get("subject", ()) for pair in parts]
        found = {name.lower() for kind, name in subject if kind == "commonName"}
    return frozenset(found)


def name_words(names: Iterable[str]) -> str:
    """Give names for a sentence."""
    return ", ".join(sorted(names)) or "nobody"


def words_of(error: ssl.SSLError) -> str:
    """Say in words what TLS has found, of the peer."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    reason = str(error.reason or "")
    return WORDS.get(reason) or f"TLS failed: {reason.lower().replace('_', ' ') or 'the connection ended'}"
