"""Who was found: the answers of all ways, merged, so that one NSU is one row however often it was seen.

Pure: questions are made and answers taken here, and whoever calls sends and receives. Rules
  * Each question has a nonce of its own. An answer counts only with the nonce of a question that was asked here, and
    the nonce tells by which way it was found.
  * Whoever answers is believed, for there is nothing to judge him by: a row is a hint where to log in, and the login
    of version 0x02 proves both sides. What a liar can do is bounded by ROWS_MAX.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from protocol.discovery import answer, frame
from protocol.discovery.answer import ANSWER_BYTES_MAX, Answer
from protocol.discovery.frame import NONCE_BYTES, Frame, Kind
from protocol.discovery.ways import Way

ROWS_MAX: Final = 256
QUESTIONS_MAX: Final = 4096


@dataclass(slots=True)
class Row:
    """One NSU: what it said last, and by which ways, on which interfaces of this machine."""

    answer: Answer
    ways: set[Way] = field(default_factory=set)
    interfaces: set[str] = field(default_factory=set)


class Catalogue:
    """The rows of one search. `random_bytes` gives so many; `name`: only NSUs of this name are kept."""

    def __init__(self, random_bytes: Callable[[int], bytes], name: str = "") -> None:
        self._random_bytes = random_bytes
        self._name = name
        self._asked: dict[bytes, tuple[Way, str]] = {}
        self._rows: dict[UUID, Row] = {}
        self.malformed = 0
        self.unasked = 0
        """Answers to no question of ours."""
        self.left_out = 0
        """Answers of further NSUs than ROWS_MAX."""

    def question(self, way: Way, interface: str) -> bytes:
        """Give the frame to be sent by this way, on this interface."""
        nonce = self._random_bytes(NONCE_BYTES)
        self._asked[nonce] = (way, interface)
        while len(self._asked) > QUESTIONS_MAX:
            del self._asked[next(iter(self._asked))]
        return frame.encode(Frame(Kind.QUESTION, nonce, bytes(ANSWER_BYTES_MAX)))

    def take(self, data: bytes) -> bool:
        """Take what came in; whether it was an answer to us that is kept."""
        found = frame.decode(data)
        if found is None:
            self.malformed += 1
            return False
        if found.kind != Kind.ANSWER:
            return False
        asked = self._asked.get(found.nonce)
        if asked is None:
            self.unasked += 1
            return False
        told = answer.decode(found.body)
        if told is None:
            self.malformed += 1
            return False
        return self._keep(told, *asked)

    def _keep(self, told: Answer, way: Way, interface: str) -> bool:
        if self._name and told.name != self._name:
            return False
        row = self._rows.get(told.instance)
        if row is None and len(self._rows) >= ROWS_MAX:
            self.left_out += 1
            return False
        if row is None:
            row = self._rows[told.instance] = Row(told)
        row.answer = told
        row.ways.add(way)
        row.interfaces.add(interface)
        return True

    def rows(self) -> list[Row]:
        """Give the rows, by name."""
        return sorted(self._rows.values(), key=lambda row: (row.answer.name, row.answer.instance))
