"""The configuration socket: Appendix D, steps 2 to 11, both roles, without a socket.

Bytes go in by `receive`, in any pieces, and come out of `data_to_send`; what happened comes back as events.
The states are the tables of `states.py`. A machine speaks no version until the greeting decides; from then
on a *talk* of that version (`v1/config.py`, `v2/config.py`) makes and reads the messages.

Rules:
- A machine that raised RemoteProtocolError is CLOSED: send what `data_to_send` still holds, then close the
  socket.
- A machine that is CLOSED takes bytes and ignores them: what follows a refusal has no meaning.
- The deadline of step 4, five seconds, is the edge's: this room has no clock.
- Version choice can't be talked down: see `versions.py` and `v2/login.py`.
"""

from collections.abc import Callable, Sequence

from protocol.config_base import Greeting, HostTalk, SecretOf, ServerTalk, UnitsUsed, no_next
from protocol.dialogue_base import Dialogue
from protocol.errors import LocalProtocolError, RemoteProtocolError, VersionMismatch
from protocol.events import Event, LoginFailed, LoginProven, Notice
from protocol.limits import HEADER_BYTES, NAME_BYTES_MAX, NONCE_BYTES, U32_MAX
from protocol.ops import Op
from protocol.records import DataPort, UnitRecord
from protocol.states import CONFIG_HOST, CONFIG_SERVER, Config, Happening
from protocol.status import DETAILS, Detail
from protocol.v1 import codec as v1_codec
from protocol.v1.config import V1HostTalk, V1ServerTalk
from protocol.v1.config import greeting as v1_greeting
from protocol.v2.config import V2HostTalk, V2ServerTalk
from protocol.v2.messages import greeting as v2_greeting
from protocol.versions import IMPLEMENTED, STRONG, V1, V2, choose_version, describe_versions, floor_of

SERVER_TALKS: dict[int, Callable[[], ServerTalk]] = {V1: V1ServerTalk, V2: V2ServerTalk}


class ServerDialogue(Dialogue):
    """The NSU's end of a configuration socket.

    `offered` is the mask for *this* host's address: offer 0x01 only where its entry says so. `challenge` is
    32 random bits, `nonce` 32 random bytes, both fresh. `secret_of` gives a login's secret, None when it is
    unknown; `next_of` the one that is to follow it, while both hold.
    """

    _table = CONFIG_SERVER

    def __init__(
        self,
        offered: int,
        challenge: int,
        nonce: bytes,
        nsu_name: str,
        secret_of: SecretOf,
        next_of: SecretOf = no_next,
    ) -> None:
        super().__init__(Config.AWAIT_REPLY)
        assert 0 <= challenge <= U32_MAX, challenge
        assert len(nonce) == NONCE_BYTES, len(nonce)
        assert len(nsu_name.encode()) <= NAME_BYTES_MAX, nsu_name
        self.challenge = challenge
        self._greeting = Greeting(offered, challenge, nonce, nsu_name)
        self._secret_of = secret_of
        self._next_of = next_of
        self._talk: ServerTalk | None = None
        self._outbox += v2_greeting(self._greeting) if offered & STRONG else v1_greeting(offered, challenge)

    @property
    def session_key(self) -> bytes | None:
        """What tokens of data sockets are made with; None in version 0x01 and before the login is proven."""
        return self._talk.session_key if self._talk else None

    @property
    def key(self) -> str:
        """The fingerprint of the secret that the host has proven; empty in version 0x01 and before that."""
        return self._talk.key if self._talk else ""

    @property
    def used(self) -> UnitsUsed | None:
        """What the host said last of the units that it uses; None: nothing, as in version 0x01."""
        return self._talk.used if self._talk else None

    def grant(self, session: int, epoch: int, verifier: int = 0) -> None:
        """Queue the good answer of step 5. `epoch` must never have been granted before; `verifier` 0: none is told."""
        assert 0 <= verifier <= U32_MAX, verifier
        self._move(Happening.GRANT)
        self._outbox += self._spoken().granted(session, epoch, verifier)

    def refuse(self, detail: int, sentence: str = "") -> None:
        """Queue the answer -1 to a host that is known and still can't come in; then send and close."""
        self._move(Happening.REFUSE)
        self._outbox += self._spoken().refused(Detail(detail), sentence)

    def answer_starttime(self, cookie: int) -> None:
        """Answer AskStartTime with the opaque 32-bit cookie."""
        self._answer(self._spoken().starttime(cookie))

    def answer_capacities(self, sizes_bytes: Sequence[int]) -> None:
        """Answer AskCapacities: bytes of each unit, in the order of `zn_zlun`."""
        self._answer(self._spoken().capacities(sizes_bytes))

    def answer_dataports(self, ports: Sequence[DataPort]) -> None:
        """Answer AskDataPorts."""
        self._answer(self._spoken().dataports(ports))

    def answer_units(self, units: Sequence[UnitRecord]) -> None:
        """Answer AskUnits."""
        self._answer(self._spoken().units(units))

    def answer_path(self, path: int, nonce: bytes) -> None:
        """Answer AskPath: `nonce`, 32 fresh random bytes, is good for one token."""
        assert len(nonce) == NONCE_BYTES, len(nonce)
        self._answer(self._spoken().path_ticket(path, nonce))

    def refuse_path(self, path: int, detail: int, sentence: str = "") -> None:
        """Answer AskPath: not now."""
        self._answer(self._spoken().path_refusal(path, Detail(detail), sentence))

    def answer_fence(self, path: int) -> None:
        """Answer AskFence: nothing of the path can still be applied, now or ever."""
        self._answer(self._spoken().fenced(path))

    def notify(self, kind: Notice, value: int = 0, sentence: str = "") -> None:
        """Push a notice; LocalProtocolError in version 0x01, which has none."""
        self._move(Happening.NOTICE)
        self._outbox += self._spoken().notice(kind, value, sentence)

    def _answer(self, message: bytes) -> None:
        self._move(Happening.ANSWER)
        self._outbox += message

    def _spoken(self) -> ServerTalk:
        if self._talk is None:
            raise LocalProtocolError("The host has not chosen a version yet.")
        return self._talk

    def _message(self, message: bytes) -> Event | None:
        if self.state is Config.AWAIT_REPLY:
            return self._reply(message)
        if self.state is Config.PROVEN:
            raise RemoteProtocolError("The host goes on before the answer to its login, step 5.")
        self._move(Happening.ASK)
        meaning = self._spoken().question(message)
        if isinstance(meaning, Event):
            return meaning
        self._answer(meaning)
        return None

    def _reply(self, frame: bytes) -> Event:
        """Judge the reply of step 3: the choice, then the proof."""
        chosen = v1_codec.decode(frame).zn_version
        # A choice of two bits, or of one that was not offered to this address, is no choice.
        if chosen in SERVER_TALKS and chosen & self._greeting.offered:
            self.version = chosen
            self._talk = SERVER_TALKS[chosen]()
            proven = self._talk.prove(frame, self._greeting, self._secret_of, self._next_of)
        else:
            self._talk = V2ServerTalk() if self._greeting.offered & STRONG else V1ServerTalk()
            proven = Detail.VERSION_NOT_OFFERED
        if isinstance(proven, LoginProven):
            self._move(Happening.LOGIN_GOOD)
            return proven
        # Appendix D (5): "If it is not the value expected, the NSU closes the connection after sending the
        # response"
        self._move(Happening.LOGIN_BAD)
        self._outbox += self._talk.refused(proven, "")
        return LoginFailed(DETAILS[proven].sentence)


class HostDialogue(Dialogue):
    """The host's end of a configuration socket.

    With a `secret` (32 bytes) it speaks 0x02 or better and nothing less, without one 0x01 only. `supported`
    is what this program knows, `login` the host's name at the NSU, `nonce` 32 fresh random bytes.
    """

    _table = CONFIG_HOST

    def __init__(self, supported: int, login: str, secret: bytes | None, nonce: bytes) -> None:
        super().__init__(Config.AWAIT_GREETING)
        assert supported & ~IMPLEMENTED == 0, supported
        assert len(nonce) == NONCE_BYTES, len(nonce)
        assert len(login.encode()) <= NAME_BYTES_MAX, login
        self._supported = floor_of(supported, has_secret=secret is not None)
        self._login = login
        self._secret = secret
        self._nonce = nonce
        self._talk: HostTalk | None = None
        self._tail_bytes: int | None = None

    @property
    def session_key(self) -> bytes | None:
        """What tokens of data sockets are made with; None in version 0x01 and before the server is proven."""
        return self._talk.session_key if self._talk else None

    def ask_starttime(self) -> None:
        """Appendix D (6)."""
        self._ask(Op.GET_STARTTIME)

    def ask_capacities(self) -> None:
        """Appendix D (8)."""
        self._ask(Op.GET_CAPACITIES)

    def ask_dataports(self) -> None:
        """Appendix D (10)."""
        self._ask(Op.GET_DATAPORT)

    def ask_units(self) -> None:
        """Ask for the units with names, generations and flags."""
        self._ask(Op.GET_UNITS)

    def ask_path(self, path: int) -> None:
        """Ask for the ticket of one data socket; PathTicket or PathRefused comes."""
        self._ask(Op.OPEN_PATH, path)

    def ask_fence(self, path: int) -> None:
        """Ask that nothing of the path can still be applied; Fenced comes when that is so."""
        self._ask(Op.FENCE, path)

    def ping(self, used: UnitsUsed | None = None) -> None:
        """Ask whether the server is alive; Pong comes. `used`: which units this host uses, where that is known."""
        self._move(Happening.ASK)
        assert self._talk is not None
        self._outbox += self._talk.ping(used)

    def _ask(self, op: Op, path: int = 0) -> None:
        self._move(Happening.ASK)
        assert self._talk is not None
        self._outbox += self._talk.ask(op, path)

    def _due_bytes(self) -> int:
        return HEADER_BYTES if self._tail_bytes is None else self._tail_bytes

    def _message(self, message: bytes) -> Event | None:
        if self.state is Config.AWAIT_GREETING:
            self._greeted(message)
            return None
        assert self._talk is not None
        if self.state is Config.AWAIT_VERDICT:
            granted = self._talk.verdict(message)
            self._move(Happening.GRANT)
            return granted
        if self._tail_bytes is None:
            self._tail_bytes = self._talk.head(message)
            return None
        self._tail_bytes = None
        event = self._talk.tail(message)
        self._move(Happening.ANSWER)
        return event

    def _greeted(self, frame: bytes) -> None:
        """Choose the version, step 3, and queue the reply."""
        greeting = v1_codec.decode(frame)
        if greeting.zn_op != Op.GET_VERSION:
            raise RemoteProtocolError(f"The NSU greets with operation 0x{greeting.zn_op:x}, not Z_GET_VERSION.")
        # Appendix D (3): "performs a logical AND operation between its own bitmask ... and the version
        # numbers supplied by the NSU"; "If the AND operation yields 0 ... the host shall close the
        # connection"
        chosen = choose_version(greeting.zn_version, self._supported)
        if chosen is None:
            raise VersionMismatch(self._mismatch(greeting.zn_version))
        self.version, self.challenge = chosen, greeting.zn_reqsz_lo
        self._talk = self._talk_of(chosen)
        self._outbox += self._talk.reply(frame)
        self._move(Happening.GREETING)

    def _talk_of(self, version: int) -> HostTalk:
        if version == V1:
            return V1HostTalk()
        assert version == V2
        assert self._secret is not None
        return V2HostTalk(self._supported, self._login, self._secret, self._nonce)

    def _mismatch(self, offered: int) -> str:
        why = "it has no secret for this NSU" if self._secret is None else "it has a secret and must prove it"
        # A server offers 0x01 to the addresses of its HOSTs without a secret, and to nobody else.
        unknown = "" if offered & V1 else ": it has no HOST without a SECRET_FILE that has this host's ADDRESS"
        return (
            f"The NSU offers {describe_versions(offered)}{unknown if self._secret is None else ''}; "
            f"this host speaks {describe_versions(self._supported)} only, because {why}."
        )
