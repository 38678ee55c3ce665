"""What both versions of the configuration dialogue share, and the contract of their halves.

`dialogue.py` owns bytes, states and events. A *talk* knows how one version says things: it makes and reads
whole messages, and remembers which questions are open. It exists from the moment the version is chosen.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.events import Event, Granted, LoginProven, Notice
from protocol.limits import ASKS_MAX, PORTS_MAX, U32_MAX, UNITS_MAX
from protocol.ops import Op
from protocol.records import DataPort, UnitRecord
from protocol.status import Detail

SecretOf = Callable[[str], bytes | None]
"""Login -> its secret, None when unknown."""


def no_next(login: str) -> bytes | None:
    """Give the second secret of a login of which no rotation is open: none."""
    del login
    return None


@dataclass(frozen=True, slots=True)
class Greeting:
    """What the server says first, Appendix D (2)."""

    offered: int
    challenge: int
    nonce: bytes
    nsu_name: str


class Record(NamedTuple):
    """The list behind an answer: bytes of one record, and how many records at most."""

    size_bytes: int
    count_max: int


LISTS = {
    int(Op.GET_CAPACITIES): Record(8, UNITS_MAX),
    int(Op.GET_DATAPORT): Record(28, PORTS_MAX),
    int(Op.GET_UNITS): Record(128, UNITS_MAX),
}


def list_bytes(op: int, count: int) -> int:
    """Give the bytes of the list behind an answer, judged before anything is stored (erratum 4 of v1.md)."""
    record = LISTS.get(op)
    if record is None:
        return 0
    if count > record.count_max:
        raise RemoteProtocolError(f"The NSU announces a list of {count} records; {record.count_max} are the most.")
    return count * record.size_bytes


class UnitsUsed(NamedTuple):
    """What a host says of its units, in a ping: which of them it uses, and which list of units it counts by."""

    mark: int
    """`units_mark` of that list: what was said of another list has no meaning."""
    numbers: int
    """Bit n: the unit of that number is attached, or about to be."""


USED_NUMBERS_MAX = 64
"""Numbers from 0 that `UnitsUsed` has a bit for."""


def units_mark(units: Sequence[UnitRecord]) -> int:
    """Give a 32-bit number of a list of units: another for other units, other numbers or other definitions."""
    return sum((unit.number + 1) * unit.generation for unit in units) & U32_MAX


class Question(NamedTuple):
    """A question that is not answered yet."""

    op: int
    path: int
    request_id: int


class Questions:
    """The open questions of one socket, oldest first, at most ASKS_MAX."""

    def __init__(self) -> None:
        self._open: list[Question] = []

    def add(self, question: Question) -> None:
        """Remember one; RemoteProtocolError when the host asks without ever waiting."""
        if len(self._open) >= ASKS_MAX:
            raise RemoteProtocolError(f"The host has {ASKS_MAX} questions open and asks another.")
        self._open.append(question)

    def take(self, op: int, path: int, *, oldest_only: bool) -> Question:
        """Give the oldest question that `op` and `path` answer and forget it."""
        for index, question in enumerate(self._open[:1] if oldest_only else self._open):
            if (question.op, question.path) == (op, path):
                return self._open.pop(index)
        raise LocalProtocolError(f"No question {Op(op).name} for path {path} is to be answered now.")


class ServerTalk(ABC):
    """The server's half of one version."""

    @abstractmethod
    def prove(
        self, frame: bytes, greeting: Greeting, secret_of: SecretOf, next_of: SecretOf = no_next
    ) -> LoginProven | Detail:
        """Judge the host's reply of Appendix D (3); a Detail says why it is refused."""

    @abstractmethod
    def granted(self, session: int, epoch: int, verifier: int) -> bytes:
        """Appendix D (5): the answer of status 0. Version 0x01 has no word for the write verifier."""

    @abstractmethod
    def refused(self, detail: Detail, sentence: str) -> bytes:
        """Appendix D (5): the answer of status -1."""

    @abstractmethod
    def question(self, frame: bytes) -> Event | bytes:
        """Read a question. Bytes are an answer that needs nobody else."""

    @abstractmethod
    def starttime(self, cookie: int) -> bytes:
        """Appendix D (7)."""

    @abstractmethod
    def capacities(self, sizes_bytes: Sequence[int]) -> bytes:
        """Appendix D (9)."""

    @abstractmethod
    def dataports(self, ports: Sequence[DataPort]) -> bytes:
        """Appendix D (11)."""

    @property
    def session_key(self) -> bytes | None:
        """What the tokens of data sockets are made with."""
        return None

    @property
    def key(self) -> str:
        """The fingerprint of the secret that the host has proven; empty: none."""
        return ""

    @property
    def used(self) -> UnitsUsed | None:
        """What the host said last of its units; None: it has not, as in version 0x01."""
        return None

    # Version 0x01 cannot say what follows.

    def units(self, units: Sequence[UnitRecord]) -> bytes:
        """Answer Z_GET_UNITS."""
        raise LocalProtocolError("This version has no Z_GET_UNITS.")

    def path_ticket(self, path: int, nonce: bytes) -> bytes:
        """Answer Z_OPEN_PATH."""
        raise LocalProtocolError("This version has no Z_OPEN_PATH.")

    def path_refusal(self, path: int, detail: Detail, sentence: str) -> bytes:
        """Answer Z_OPEN_PATH."""
        raise LocalProtocolError("This version has no Z_OPEN_PATH.")

    def fenced(self, path: int) -> bytes:
        """Answer Z_FENCE."""
        raise LocalProtocolError("This version has no Z_FENCE.")

    def notice(self, kind: Notice, value: int, sentence: str) -> bytes:
        """Push Z_NOTICE."""
        raise LocalProtocolError("This version pushes nothing: close the socket, Appendix D note (3).")


class HostTalk(ABC):
    """The host's half of one version."""

    @abstractmethod
    def reply(self, greeting_frame: bytes) -> bytes:
        """Appendix D (3): the choice and the proof."""

    @abstractmethod
    def verdict(self, frame: bytes) -> Granted:
        """Read the answer of Appendix D (5); LoginRefused or ServerNotProven otherwise."""

    @abstractmethod
    def ask(self, op: Op, path: int = 0) -> bytes:
        """Ask; LocalProtocolError when this version has no such question."""

    def ping(self, used: UnitsUsed | None) -> bytes:
        """Ask whether the server is alive, and say which units are used where the version has words for it."""
        del used
        return self.ask(Op.CONFIG_PING)

    @abstractmethod
    def head(self, frame: bytes) -> int:
        """Read the 512 bytes of an answer and say how many bytes follow."""

    @abstractmethod
    def tail(self, payload: bytes) -> Event:
        """Take what follows the answer of the last `head` (no bytes, mostly) and say what it meant."""

    @property
    def session_key(self) -> bytes | None:
        """What the tokens of data sockets are made with."""
        return None
