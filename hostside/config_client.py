"""The host's end of the configuration socket: connect, hold, and connect again.

"Host drivers need to keep the connection to the NSU configuration port open, and use its closure by the NSU as a signal
to re-run the configuration protocol" (Appendix D, note 3). All thinking is in `protocol.dialogue.HostDialogue`; this
file moves its bytes and goes round the server's addresses, one for each network, until one answers.
"""

import os
import random
import secrets
import socket
from collections.abc import Callable
from itertools import cycle

from hostside.settings import ServerEntry
from ipc.backoff import Backoff
from ipc.endpoints import endpoint
from ipc.loop import Loop, Timer
from ipc.silence import Silence
from ipc.tcp import keep_alive, limit_unacknowledged, unanswered_s
from ipc.tls import Tls, TlsIdentity
from ipc.tls_stream import TlsStream
from protocol.config_base import UnitsUsed
from protocol.dialogue import HostDialogue
from protocol.errors import LoginRefused, ProtocolError
from protocol.events import Event
from protocol.limits import HANDSHAKE_TIMEOUT_S
from protocol.timers import (
    CONFIG_ANSWER_WITHIN_S,
    CONNECT_WITHIN_S,
    KEEPALIVE_EVERY_S,
    KEEPALIVE_IDLE_S,
    KEEPALIVE_PROBES,
    LOOK_EVERY_S,
    PING_EVERY_S,
    UNANSWERED_MOST_S,
    USER_TIMEOUT_S,
)
from protocol.tls_binding import bound_secret
from protocol.v2.login import fingerprint

RECONNECT_FIRST_S = 0.1
RECONNECT_MOST_S = 1.0
REFUSED_PAUSE_S = 5.0
"""After a refused login: people are needed, haste is not."""
EVICTED_FIRST_S = 10.0
EVICTED_MOST_S = 60.0
"""Another machine has our login: each time that it takes our session we rest longer (half of this at least)."""
STEADY_SESSION_S = 120.0
"""A session that stood for so long was not fought for."""
CUTS_MOST = 4
"""0x01: so many shorter sessions, one after the other, that the server ended, are taken for such a fight."""
PRIVILEGED_PORTS = range(1023, 511, -1)


Newest = Callable[[ServerEntry], bytes]
"""Gives the secret of an entry that has one, as it is now: it may be replaced while the host role runs."""


def newest_known(entry: ServerEntry) -> bytes:
    """Give the secret of the start, for whom no file can change it."""
    assert entry.secret is not None
    return entry.secret


class ConfigClient:
    """One configuration socket to one NSU, for ever.

    `on_event` gets what the dialogue tells; `on_lost` is called once each time that an open socket ends. `is_served` is
    asked when the server is silent though its kernel answers: True, and the session goes on as if nothing were. `used`
    is asked at each ping of 0x02: which units this host uses.
    """

    def __init__(
        self,
        loop: Loop,
        entry: ServerEntry,
        *,
        on_event: Callable[[Event], None],
        on_lost: Callable[[str], None],
        is_served: Callable[[], bool] = lambda: False,
        used: Callable[[], UnitsUsed | None] = lambda: None,
        newest: Newest = newest_known,
    ) -> None:
        self.loop = loop
        self.entry = entry
        self.on_event = on_event
        self.on_lost = on_lost
        self.is_served = is_served
        self.used = used
        self.newest = newest
        self.key = ""
        """The fingerprint of the secret of the last login; empty: none yet, or 0x01."""
        self.tls = None if entry.tls is None else Tls(entry.tls, server_side=False)
        self.addresses = cycle(entry.addresses)
        self.address = ""
        self.stays = False
        """The next connection goes to the same address."""
        self.sock: socket.socket | None = None
        self.dialogue: HostDialogue | None = None
        self.timer: Timer | None = None
        self.backoff = Backoff(RECONNECT_FIRST_S, RECONNECT_MOST_S, random=random.random)
        self.evictions = Backoff(EVICTED_FIRST_S, EVICTED_MOST_S, random=random.random)
        self.evicted = ""
        """Who took our session, in words; empty when nobody did, or when a later session was steady."""
        self.cuts = 0
        self.held_s: float | None = None
        """Since when the session stands."""
        self.heard_s = 0.0
        self.silence = Silence(LOOK_EVERY_S)
        self.ping_at_s = 0.0
        self.trouble = "not yet connected"
        """Why there is no session, in words; empty while there is one."""
        self.closed = False

    # -- connecting ----------------------------------------------------------------------------------------------

    def connect(self) -> None:
        """Appendix D (1): connect to the NSU's configuration port, from a privileged port where we may."""
        if not self.stays:
            self.address = next(self.addresses)
        try:
            family = socket.getaddrinfo(self.address, self.entry.config_port, type=socket.SOCK_STREAM)[0][0]
            self.sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            limit_unacknowledged(self.sock, USER_TIMEOUT_S)
            # 0x01 has no ping: the kernel alone can find that an NSU is gone without a word.
            keep_alive(self.sock, idle_s=KEEPALIVE_IDLE_S, every_s=KEEPALIVE_EVERY_S, probes=KEEPALIVE_PROBES)
            bind_privileged(self.sock)
            self.sock.connect((self.address, self.entry.config_port))
        except BlockingIOError:
            pass
        except OSError as error:
            self.lose(f"connecting to {self.where()}: {error.strerror or error}")
            return
        assert self.sock is not None
        self.loop.watch(self.sock, on_writable=self.connected)
        self.arm(CONNECT_WITHIN_S, self.lose_unanswered)

    def connected(self) -> None:
        assert self.sock is not None
        error = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            self.lose(f"connecting to {self.where()}: {os.strerror(error)}")
            return
        self.arm(HANDSHAKE_TIMEOUT_S, self.lose_unanswered)
        if self.tls is None:
            self.begin(None)
        else:
            stream = self.sock = TlsStream(self.sock, self.tls.identity())
            self.loop.watch(stream, on_readable=lambda: self.shake(stream))
            self.shake(stream)

    def shake(self, stream: TlsStream) -> None:
        """Go on with the TLS handshake. Nothing is said in clear, whatever comes of it (trap 27)."""
        try:
            stream.shake_hands()
            stream.require_name(self.entry.name, self.address)
        except BlockingIOError:
            return
        except OSError as error:
            self.lose(f"{self.where()}: {error.strerror}", pause_s=REFUSED_PAUSE_S)
            return
        self.begin(stream)

    def begin(self, stream: TlsStream | None) -> None:
        """The server speaks first: step (2)."""
        assert self.sock is not None
        # Each login proves the key that is there now: whoever is given a new one need not start again.
        secret = None if self.entry.secret is None else self.newest(self.entry)
        self.key = "" if secret is None else fingerprint(secret)
        if stream is not None:
            assert secret is not None, "nsu.conf has TLS with a SECRET_FILE only"
            secret = bound_secret(secret, stream.fingerprint, stream.identity.fingerprint)
        supported = 0x02 if secret is not None else 0x01
        self.dialogue = HostDialogue(supported, self.entry.login, secret, secrets.token_bytes(32))
        self.loop.watch(self.sock, on_readable=self.readable)

    @property
    def identity(self) -> TlsIdentity | None:
        """What a data socket of this session proves itself with; None: it goes in clear."""
        return None if self.tls is None else self.tls.identity()

    def lose_unanswered(self) -> None:
        self.lose(f"{self.where()} does not answer")

    def arm(self, delay_s: float, callback: Callable[[], None]) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self.timer = self.loop.call_later(delay_s, callback)

    # -- talking -------------------------------------------------------------------------------------------------

    def readable(self) -> None:
        assert self.sock is not None
        assert self.dialogue is not None
        try:
            data = self.sock.recv(65536)
        except BlockingIOError:
            return
        except OSError as error:
            self.lose(f"{self.where()}: {error.strerror}")
            return
        if not data:
            self.lose(self.why_closed(), pause_s=self.pause_after_cut_s())
            return
        self.heard_s = self.loop.now()
        self.take(data)

    def take(self, data: bytes) -> None:
        assert self.dialogue is not None
        dialogue = self.dialogue
        try:
            for event in dialogue.receive(data):
                self.on_event(event)
                if self.dialogue is not dialogue:
                    return  # the event ended this socket
        except LoginRefused as error:
            self.lose(f"{self.where()}: {error}{self.advice()}", pause_s=REFUSED_PAUSE_S)
        except ProtocolError as error:
            self.lose(f"{self.where()}: {error}", pause_s=REFUSED_PAUSE_S)
        else:
            self.send()

    def send(self) -> None:
        """Send what the dialogue has to say. Its messages are small: a socket that can't take them is lost."""
        if self.sock is None or self.dialogue is None:
            return
        data = self.dialogue.data_to_send()
        if not data:
            return
        try:
            sent = self.sock.send(data)
        except OSError as error:
            self.lose(f"{self.where()}: {error.strerror}")
            return
        if sent < len(data):
            self.lose(f"{self.where()} takes no more requests on the configuration socket")

    def hold(self) -> None:
        """The session stands: from now on only silence ends it."""
        self.trouble = ""
        self.backoff.reset()
        self.held_s = self.heard_s = self.loop.now()
        self.arm(LOOK_EVERY_S, self.look)

    def look(self) -> None:
        """Ask the server whether it is there, and end the session when it is not: `protocol/timers.py` says when."""
        assert self.dialogue is not None
        if self.is_steady:
            self.evicted = ""
        silent_s = self.silence.look(self.loop.now() - self.heard_s)
        if why := self.why_gone(silent_s):
            self.lose(f"{self.where()} {why}")
            return
        if self.dialogue.version == 2 and self.loop.now() >= self.ping_at_s and not self.is_silent:
            self.ping_at_s = self.loop.now() + PING_EVERY_S
            self.dialogue.ping(self.used())
            self.send()
        if self.sock is not None:
            self.arm(LOOK_EVERY_S, self.look)

    def why_gone(self, silent_s: float) -> str:
        """Say why the session has to end; empty: it goes on."""
        assert self.sock is not None
        if min(silent_s, unanswered_s(self.sock)) >= UNANSWERED_MOST_S:
            return f"is out of reach: it acknowledged nothing for {UNANSWERED_MOST_S:g} s"
        if self.is_silent and not self.is_served():
            return f"was silent for {CONFIG_ANSWER_WITHIN_S:g} s"
        return ""

    @property
    def is_silent(self) -> bool:
        """Whether the server owes answers for so long that its process must stand still."""
        asked = self.dialogue is not None and self.dialogue.version == 2 and self.held_s is not None
        return asked and self.silence.seconds >= CONFIG_ANSWER_WITHIN_S

    # -- ending --------------------------------------------------------------------------------------------------

    def lose(self, sentence: str, *, pause_s: float | None = None, stays: bool = False) -> None:
        """End this socket and try again after a pause; at the same address (`stays`) when that is not at fault."""
        self.stays = stays
        self.disconnect()
        self.trouble = sentence
        if not self.closed:
            self.arm(self.backoff.next() if pause_s is None else pause_s, self.connect)
        self.on_lost(sentence)

    def evict(self, sentence: str) -> None:
        """The server tells that another machine logged in as we did: coming back at once would only evict that one."""
        self.evicted = sentence or f"another machine logged in as {self.entry.login}"
        pause_s = self.pause_evicted_s()
        self.lose(f"{self.evicted}; this one comes again in {pause_s:.0f} s", pause_s=pause_s)

    def pause_evicted_s(self) -> float:
        if self.is_steady:
            self.evictions.reset()
        return self.evictions.next()

    def pause_after_cut_s(self) -> float | None:
        """The server closed the socket. 0x01 has no words for an eviction, but it looks like this, again and again."""
        if self.held_s is None or self.entry.secret is not None:
            return None
        self.cuts = 0 if self.is_steady else self.cuts + 1
        if self.cuts < CUTS_MOST:
            return None
        self.evicted = "the NSU ends each session soon: does another machine log in from an ADDRESS of the same HOST?"
        return self.pause_evicted_s()

    @property
    def is_steady(self) -> bool:
        return self.held_s is not None and self.loop.now() - self.held_s >= STEADY_SESSION_S

    def disconnect(self) -> None:
        if self.sock is not None:
            self.loop.forget(self.sock)
            self.sock.close()
        self.sock = None
        self.dialogue = None
        self.held_s = None

    def close(self) -> None:
        """End for good."""
        self.closed = True
        if self.timer is not None:
            self.timer.cancel()
        self.disconnect()

    def why_closed(self) -> str:
        assert self.dialogue is not None
        if self.dialogue.version is None:
            return (
                f"{self.where()} closed the configuration socket before a word: its PRIVILEGED_PORT may ask for a "
                f"source port below 1024 (run the host role as root, or with CAP_NET_BIND_SERVICE)"
            )
        return f"{self.where()} closed the configuration socket"

    def advice(self) -> str:
        """Say where to look when a login is refused."""
        if self.entry.secret is None:
            return ""
        return (
            f" Both machines must say the same: here LOGIN ({self.entry.login}) and SECRET_FILE of SERVER "
            f"{self.entry.name}, there a HOST of that name and its SECRET_FILE."
        )

    def where(self) -> str:
        return endpoint(self.address, self.entry.config_port)


def bind_privileged(sock: socket.socket) -> None:
    """Bind to a free privileged port (below 1024) where we may; otherwise the kernel chooses any."""
    any_address = "::" if sock.family == socket.AF_INET6 else "0.0.0.0"
    ports = list(PRIVILEGED_PORTS)
    random.shuffle(ports)
    for port in ports:
        try:
            sock.bind((any_address, port))
        except PermissionError:
            return
        except OSError:
            continue  # taken: the next
        return
