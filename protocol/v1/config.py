"""Version 0x01 of the configuration dialogue: Appendix D, steps 2 to 11, to the byte.

Guarantees: whatever a step calls "ignored" or "undefined" is not looked at, and is sent as zeros. Questions
are answered in the order they came, for version 0x01 has no other way to tell which answer belongs to
which.

The proof is a 32-bit complement that anybody can compute: it protects nobody. The server offers 0x01 only to
addresses whose HOST entry says so (the edge sees to it), a host speaks it only without a secret
(`versions.py`).
"""

from collections import deque
from collections.abc import Sequence

from protocol.config_base import Greeting, HostTalk, Question, Questions, SecretOf, ServerTalk, list_bytes, no_next
from protocol.errors import LocalProtocolError, LoginRefused, RemoteProtocolError
from protocol.events import (
    AskCapacities,
    AskDataPorts,
    AskStartTime,
    Capacities,
    DataPorts,
    Event,
    Granted,
    LoginProven,
    StartTime,
)
from protocol.limits import U32_MAX, UNITS_MAX
from protocol.ops import Op
from protocol.records import DataPort, pack_capacities, pack_ports, unpack_capacities, unpack_ports
from protocol.status import DETAILS, Detail, Status
from protocol.v1.codec import Header, decode, encode
from protocol.versions import V1

QUESTIONS: dict[int, Event] = {
    Op.GET_STARTTIME: AskStartTime(),
    Op.GET_CAPACITIES: AskCapacities(),
    Op.GET_DATAPORT: AskDataPorts(),
}


def greeting(offered: int, challenge: int) -> bytes:
    """Give the offer of step 2 as a server speaks it that knows version 0x01 only."""
    # Appendix D (2): "with the opcode set to Z_GET_VERSION (0x1005), and with a bitmask of the NSU protocol
    # versions ... in the zn_version field, and with a 32-bit pseudo-random number placed in the zn_reqsz_lo
    # field"
    return encode(Header(zn_version=offered, zn_op=Op.GET_VERSION, zn_reqsz_lo=challenge))


class V1ServerTalk(ServerTalk):
    """The server's half."""

    def __init__(self) -> None:
        self._questions = Questions()

    def prove(
        self, frame: bytes, greeting: Greeting, secret_of: SecretOf, next_of: SecretOf = no_next
    ) -> LoginProven | Detail:
        """Appendix D (5): "checks the value in the zn_reqsz_lo field"; every other field is undefined."""
        if decode(frame).zn_reqsz_lo != greeting.challenge ^ U32_MAX:
            return Detail.WRONG_COMPLEMENT
        return LoginProven(V1, "")

    def granted(self, session: int, epoch: int, verifier: int) -> bytes:
        """Appendix D (5): "with the zn_status field set to 0 if the zn_reqsz_lo field contained the
        expected".
        """
        return encode(Header(zn_op=Op.GET_VERSION))

    def refused(self, detail: Detail, sentence: str) -> bytes:
        """Appendix D (5): "and to -1 if it did not"; version 0x01 has no room for a sentence."""
        return encode(Header(zn_op=Op.GET_VERSION, zn_flags=detail, zn_status=Status.REFUSED))

    def question(self, frame: bytes) -> Event:
        """Read a question of steps 6, 8 and 10: "All other fields in this request structure are ignored"."""
        op = decode(frame).zn_op
        event = QUESTIONS.get(op)
        if event is None:
            # No checksum and no marker: an unknown number may as well be lost framing, so this frame is in
            # doubt.
            raise RemoteProtocolError(f"Operation 0x{op:x} is no question of version 0x01.")
        self._questions.add(Question(op, 0, 0))
        return event

    def starttime(self, cookie: int) -> bytes:
        """Appendix D (7): "with the zn_reqsz_lo field filled in with an opaque 'cookie'"."""
        return self._answer(Op.GET_STARTTIME, cookie)

    def capacities(self, sizes_bytes: Sequence[int]) -> bytes:
        """Appendix D (9): the number of units, then "that number of uint64_t's ... specified in BYTES"."""
        assert len(sizes_bytes) <= UNITS_MAX
        return self._answer(Op.GET_CAPACITIES, len(sizes_bytes)) + pack_capacities(sizes_bytes)

    def dataports(self, ports: Sequence[DataPort]) -> bytes:
        """Appendix D (11): the number of ports, "followed by that number of the following structure"."""
        return self._answer(Op.GET_DATAPORT, len(ports)) + pack_ports(ports)

    def _answer(self, op: Op, reqsz_lo: int) -> bytes:
        self._questions.take(op, 0, oldest_only=True)
        return encode(Header(zn_op=op, zn_reqsz_lo=reqsz_lo))


class V1HostTalk(HostTalk):
    """The host's half."""

    def __init__(self) -> None:
        self._asked: deque[Op] = deque()
        self._head = Header()

    def reply(self, greeting_frame: bytes) -> bytes:
        """Appendix D (3): the chosen version, and "the 32-bit 1's complement of the pseudo-random number"."""
        challenge = decode(greeting_frame).zn_reqsz_lo
        return encode(Header(zn_version=V1, zn_op=Op.GET_VERSION, zn_reqsz_lo=challenge ^ U32_MAX))

    def verdict(self, frame: bytes) -> Granted:
        """Appendix D (5): status 0, and nothing else, is a login."""
        header = decode(frame)
        if header.zn_status != Status.OK:
            raise LoginRefused(_why(header))
        return Granted(V1, 0, 0, "")

    def ask(self, op: Op, path: int = 0) -> bytes:
        """Appendix D (6), (8), (10)."""
        if op not in QUESTIONS:
            raise LocalProtocolError(f"Version 0x01 has no question {op.name}.")
        self._asked.append(op)
        return encode(Header(zn_op=op))

    def head(self, frame: bytes) -> int:
        """Appendix D (7), (9), (11): zn_reqsz_lo counts, "All other fields ... are undefined"."""
        if not self._asked:
            raise RemoteProtocolError("The NSU answers what was not asked.")
        self._head = decode(frame)
        return list_bytes(self._asked[0], self._head.zn_reqsz_lo)

    def tail(self, payload: bytes) -> Event:
        """Say what the answer meant; the questions are answered in their order."""
        op = self._asked.popleft()
        if op == Op.GET_CAPACITIES:
            return Capacities(unpack_capacities(payload))
        if op == Op.GET_DATAPORT:
            return DataPorts(unpack_ports(payload))
        return StartTime(self._head.zn_reqsz_lo)


def _why(header: Header) -> str:
    if header.zn_flags in DETAILS:
        return f"The NSU refused the login: {DETAILS[Detail(header.zn_flags)].sentence}"
    return f"The NSU refused the login with status {header.zn_status}, detail {header.zn_flags}."
