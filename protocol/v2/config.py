"""Version 0x02 of the configuration dialogue: the same order of steps, proven, checked and able to push.

Guarantees: every message is 512 bytes with a header CRC, and a list behind it has its CRC in `payload_crc`.
Questions count from 1 in `zn_requestid` without a gap; an answer repeats the number, so that a slow answer (a
fence) holds up no other. `zn_requestid` 0 is a notice. A question this version does not know costs an
error, not the socket: its frame is certain. Everything after the login names session and epoch.

The write verifier (as RFC 1813 has one for its COMMIT): an opaque number in the grant, before anything else of the
session. Between two sessions it changes exactly when writes that were acknowledged and not flushed may have been lost,
as when the NSU's machine lost power; while it is the same, all are there. Only equal or not equal has a meaning, and 0
says nothing: it compares with no other. A host that finds it changed fails the next FLUSH of each unit to which writes
were acknowledged since the last good one; FLUSHes that the NSU answers cover what was acknowledged under its verifier.
"""

from collections.abc import Sequence

from protocol.config_base import (
    LISTS,
    Greeting,
    HostTalk,
    Question,
    Questions,
    SecretOf,
    ServerTalk,
    UnitsUsed,
    list_bytes,
    no_next,
)
from protocol.crc import crc32c
from protocol.errors import LoginRefused, RemoteProtocolError, ServerNotProven
from protocol.events import Event, Granted, LoginProven, Notice, PathRefused
from protocol.limits import U32_MAX
from protocol.ops import Op
from protocol.records import DataPort, UnitRecord, pack_capacities, pack_ports
from protocol.status import DETAILS, Detail, Status
from protocol.v2.codec import Header, decode, encode, from_text, is_whole, pack_units, to_text
from protocol.v2.login import (
    Negotiation,
    fingerprint,
    host_proof,
    is_server_proven,
    proven_secret,
    server_proof,
    session_key,
)
from protocol.v2.messages import answered, asked, notified, path_of, reason, refusal
from protocol.versions import V2


class V2ServerTalk(ServerTalk):
    """The server's half."""

    def __init__(self) -> None:
        self._questions = Questions()
        self._last_request_id = 0
        self._session = 0
        self._epoch = 0
        self._proof = b""
        self._session_key: bytes | None = None
        self._key = ""
        self._used: UnitsUsed | None = None

    @property
    def session_key(self) -> bytes | None:
        """Known as soon as the host is proven."""
        return self._session_key

    @property
    def key(self) -> str:
        """Known as soon as the host is proven."""
        return self._key

    @property
    def used(self) -> UnitsUsed | None:
        """As its last ping said it."""
        return self._used

    def prove(
        self, frame: bytes, greeting: Greeting, secret_of: SecretOf, next_of: SecretOf = no_next
    ) -> LoginProven | Detail:
        """Judge the reply of step 3. Unknown login, wrong secret and changed message get one refusal."""
        if not is_whole(frame):
            return Detail.LOGIN_UNPROVEN
        reply = decode(frame)
        # Appendix D (5) stays: the complement shows that the reply is to this greeting.
        if reply.zn_reqsz_lo != greeting.challenge ^ U32_MAX:
            return Detail.WRONG_COMPLEMENT
        login = from_text(reply.text)
        seen = Negotiation(greeting.offered, reply.supported, V2, greeting.nonce, reply.nonce, greeting.nsu_name, login)
        secret = proven_secret((secret_of(login), next_of(login)), seen, reply.proof)
        if secret is None:
            return Detail.LOGIN_UNPROVEN
        self._key = fingerprint(secret)
        self._proof, self._session_key = server_proof(secret, seen), session_key(secret, seen)
        return LoginProven(V2, login)

    def granted(self, session: int, epoch: int, verifier: int) -> bytes:
        """Say status 0, with the server's own proof: only now, to a host that has proven itself."""
        self._session, self._epoch = session, epoch
        return self._sign(Header(zn_op=Op.GET_VERSION, proof=self._proof, verifier=verifier))

    def refused(self, detail: Detail, sentence: str) -> bytes:
        """Say status -1 and why."""
        return encode(refusal(Op.GET_VERSION, Status.REFUSED, detail, sentence))

    def question(self, frame: bytes) -> Event | bytes:
        """Read a question; RemoteProtocolError when it is not the next one of this session."""
        header = decode(frame)
        self._last_request_id = (self._last_request_id + 1) & U32_MAX or 1
        found = (
            header.zn_type,
            header.zn_version,
            header.zn_hostid,
            header.session_epoch,
            header.zn_requestid,
        )
        due = (1, V2, self._session, self._epoch, self._last_request_id)
        if found != due:
            raise RemoteProtocolError(f"A question has (type, version, session, epoch, number) {found}; {due} is due.")
        if header.zn_op == Op.CONFIG_PING:
            if header.zn_reqsz_lo:
                self._used = UnitsUsed(header.generation, header.zn_lba_hi << 32 | header.zn_lba_lo)
            return self._sign(Header(zn_op=Op.CONFIG_PING, zn_requestid=header.zn_requestid))
        event = asked(header.zn_op, header.path)
        if event is None:
            unknown = refusal(header.zn_op, Status.EINVAL, Detail.UNKNOWN_OP, "")
            return self._sign(unknown._replace(zn_requestid=header.zn_requestid))
        self._questions.add(Question(header.zn_op, path_of(header), header.zn_requestid))
        return event

    def starttime(self, cookie: int) -> bytes:
        """Answer Z_GET_STARTTIME."""
        return self._answer(Op.GET_STARTTIME, count=cookie)

    def capacities(self, sizes_bytes: Sequence[int]) -> bytes:
        """Answer Z_GET_CAPACITIES."""
        return self._answer_list(Op.GET_CAPACITIES, len(sizes_bytes), pack_capacities(sizes_bytes))

    def dataports(self, ports: Sequence[DataPort]) -> bytes:
        """Answer Z_GET_DATAPORT."""
        return self._answer_list(Op.GET_DATAPORT, len(ports), pack_ports(ports))

    def units(self, units: Sequence[UnitRecord]) -> bytes:
        """Answer Z_GET_UNITS."""
        return self._answer_list(Op.GET_UNITS, len(units), pack_units(units))

    def path_ticket(self, path: int, nonce: bytes) -> bytes:
        """Answer Z_OPEN_PATH."""
        return self._answer(Op.OPEN_PATH, path=path, nonce=nonce)

    def path_refusal(self, path: int, detail: Detail, sentence: str) -> bytes:
        """Answer Z_OPEN_PATH."""
        question = self._questions.take(Op.OPEN_PATH, path, oldest_only=False)
        header = refusal(Op.OPEN_PATH, DETAILS[detail].status, detail, sentence)
        return self._sign(header._replace(path=path, zn_requestid=question.request_id))

    def fenced(self, path: int) -> bytes:
        """Answer Z_FENCE."""
        return self._answer(Op.FENCE, path=path)

    def notice(self, kind: Notice, value: int, sentence: str) -> bytes:
        """Push Z_NOTICE."""
        header = Header(
            zn_op=Op.NOTICE,
            zn_reqsz_lo=kind,
            zn_lba_hi=value >> 32,
            zn_lba_lo=value & U32_MAX,
            text=to_text(sentence),
        )
        return self._sign(header)

    def _answer_list(self, op: Op, count: int, records: bytes) -> bytes:
        assert count <= LISTS[op].count_max, (op, count)
        return self._answer(op, count=count, payload_crc=crc32c(records)) + records

    def _answer(
        self, op: Op, *, path: int = 0, count: int = 0, payload_crc: int = 0, nonce: bytes = bytes(32)
    ) -> bytes:
        question = self._questions.take(op, path, oldest_only=False)
        header = Header(
            zn_op=op,
            zn_requestid=question.request_id,
            zn_reqsz_lo=count,
            path=path,
            payload_crc=payload_crc,
            nonce=nonce,
        )
        return self._sign(header)

    def _sign(self, header: Header) -> bytes:
        return encode(header._replace(zn_hostid=self._session, session_epoch=self._epoch))


class V2HostTalk(HostTalk):
    """The host's half."""

    def __init__(self, supported: int, login: str, secret: bytes, nonce: bytes) -> None:
        self._supported = supported
        self._login = login
        self._secret = secret
        self._nonce = nonce
        self._seen: Negotiation | None = None
        self._session = 0
        self._epoch = 0
        self._asked: dict[int, Question] = {}
        self._last_request_id = 0
        self._head = Header()
        self._session_key: bytes | None = None

    @property
    def session_key(self) -> bytes | None:
        """Known once the server is proven."""
        return self._session_key

    def reply(self, greeting_frame: bytes) -> bytes:
        """Give the reply of step 3: complement, mask, nonce, login and proof."""
        said = decode(greeting_frame)
        name = from_text(said.text)
        seen = Negotiation(said.zn_version, self._supported, V2, said.nonce, self._nonce, name, self._login)
        self._seen = seen
        return encode(
            Header(
                zn_op=Op.GET_VERSION,
                zn_reqsz_lo=said.zn_reqsz_lo ^ U32_MAX,
                text=self._login.encode(),
                nonce=self._nonce,
                proof=host_proof(self._secret, seen),
                supported=self._supported,
            )
        )

    def verdict(self, frame: bytes) -> Granted:
        """Read the answer of step 5. A grant without the server's proof is none."""
        header = decode(frame)
        if header.zn_status != Status.OK:
            raise LoginRefused(f"The NSU refused the login: {reason(header)}")
        assert self._seen is not None
        if not is_server_proven(self._secret, self._seen, header.proof):
            raise ServerNotProven("The NSU did not prove that it knows the secret of this login.")
        self._session, self._epoch = header.zn_hostid, header.session_epoch
        self._session_key = session_key(self._secret, self._seen)
        return Granted(V2, self._session, self._epoch, self._seen.nsu_name, header.verifier)

    def ask(self, op: Op, path: int = 0) -> bytes:
        """Ask; the number of the question counts from 1."""
        return encode(self._question(op, path))

    def ping(self, used: UnitsUsed | None) -> bytes:
        """Ask whether the server is alive; say which units are used, so that nobody takes one away unawares."""
        header = self._question(Op.CONFIG_PING, 0)
        if used is not None:
            high, low = used.numbers >> 32, used.numbers & U32_MAX
            header = header._replace(zn_reqsz_lo=1, zn_lba_hi=high, zn_lba_lo=low, generation=used.mark)
        return encode(header)

    def _question(self, op: Op, path: int) -> Header:
        self._last_request_id = (self._last_request_id + 1) & U32_MAX or 1
        number = self._last_request_id
        self._asked[number] = Question(op, path, number)
        return Header(zn_op=op, zn_requestid=number, zn_hostid=self._session, session_epoch=self._epoch, path=path)

    def head(self, frame: bytes) -> int:
        """Read an answer or a notice; RemoteProtocolError when it fits no question."""
        header = decode(frame)
        if (header.zn_hostid, header.session_epoch) != (self._session, self._epoch):
            raise RemoteProtocolError("The NSU speaks of another session than this one.")
        self._head = header
        if header.zn_requestid == 0:
            if header.zn_op != Op.NOTICE:
                raise RemoteProtocolError(f"Message 0x{header.zn_op:x} without a number is no notice.")
            return 0
        question = self._asked.get(header.zn_requestid)
        if question is None or (question.op, question.path) != (header.zn_op, header.path):
            raise RemoteProtocolError(f"The NSU answers question {header.zn_requestid}, which is not open.")
        return list_bytes(question.op, header.zn_reqsz_lo) if header.zn_status == Status.OK else 0

    def tail(self, payload: bytes) -> Event:
        """Say what the message meant."""
        header = self._head
        if header.zn_requestid == 0:
            return notified(header)
        del self._asked[header.zn_requestid]
        if header.zn_status != Status.OK:
            if header.zn_op == Op.OPEN_PATH:
                return PathRefused(header.path, header.zn_status, reason(header))
            raise RemoteProtocolError(f"The NSU refused question 0x{header.zn_op:x}: {reason(header)}")
        if header.zn_op in LISTS and crc32c(payload) != header.payload_crc:
            raise RemoteProtocolError("The list's CRC32C does not hold: bytes were changed on the way.")
        return answered(header, payload)
