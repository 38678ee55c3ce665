"""How an accepted socket begins: in clear or by TLS, and the handshake, in the server's loop. And the floor of a HOST.

A ClientHello is told by its first bytes, which no first message of ours has (decision 0020); they are looked at and
left where they are. Whoever accepted the socket bounds its time and counts it among the half-open ones.
"""

import socket
from collections.abc import Callable

from ipc.loop import Loop, Timer
from ipc.tls import TlsIdentity
from ipc.tls_stream import TlsStream, begins_tls
from protocol.status import Detail
from serverside.settings import HostSettings

Names = frozenset[str] | None
"""Whom a peer's certificate names; None: it came in clear."""


class TlsEntry:
    """One accepted socket until it is known how it speaks.

    `on_entered` gets it, or the TLS stream that it has become; `on_failed` what TLS found wrong, empty when the peer
    hung up, and the socket is still to be closed. `clear_after_s`: who says nothing for so long speaks in clear;
    None: the peer begins.
    """

    def __init__(
        self,
        loop: Loop,
        sock: socket.socket,
        identity: TlsIdentity,
        *,
        clear_after_s: float | None,
        on_entered: Callable[[socket.socket], None],
        on_failed: Callable[[str], None],
    ) -> None:
        self.loop = loop
        self.sock = sock
        """Whose it is now: the one that was given, or the stream that has taken it over."""
        self.identity = identity
        self.on_entered = on_entered
        self.on_failed = on_failed
        self.timer: Timer | None = None if clear_after_s is None else loop.call_later(clear_after_s, self.enter)
        loop.watch(sock, on_readable=self.first)

    def first(self) -> None:
        try:
            is_tls = begins_tls(self.sock)
        except BlockingIOError:
            return
        except OSError:
            is_tls = None
        if is_tls is None:
            self.fail("")
        elif is_tls:
            self.cancel()
            stream = TlsStream(self.sock, self.identity)
            self.sock = stream
            self.loop.watch(stream, on_readable=lambda: self.shake(stream))
        else:
            self.enter()

    def shake(self, stream: TlsStream) -> None:
        try:
            stream.shake_hands()
        except BlockingIOError:
            return
        except OSError as error:
            self.fail(error.strerror or str(error))
        else:
            self.enter()

    def enter(self) -> None:
        self.cancel()
        self.on_entered(self.sock)

    def fail(self, why: str) -> None:
        self.cancel()
        self.on_failed(why)

    def cancel(self) -> None:
        """Stop looking; the socket is left as it is."""
        if self.timer is not None:
            self.timer.cancel()
        self.loop.forget(self.sock)


def names_of(sock: socket.socket) -> Names:
    """Whom the certificate at the other end of an entered socket names."""
    return sock.names if isinstance(sock, TlsStream) else None


def objection(host: HostSettings, names: Names) -> Detail | None:
    """Say what forbids `host` to come like this; None: it may (trap 27: the floor is ours, whatever the host wants)."""
    if names is None:
        return Detail.TLS_REQUIRED if host.tls == "required" else None
    if host.tls == "no" or host.secret is None:
        return Detail.TLS_UNWANTED
    return None if host.name.lower() in names else Detail.CERTIFICATE_NAME
