"""One connection without a socket: bytes in, in pieces of any size; bytes out; a memory driver below."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from struct import Struct

from hostside.driver.unit import UnitFlag
from hostside.frontends.nbd_protocol.connection import Connection
from hostside.frontends.nbd_protocol.export import export_of
from ipc.buffers import BufferPool
from protocol.limits import SPLIT_BYTES
from tests.hostside.frontends.memory_driver import ALL, MemoryDriver, unit_of

MIB = 1 << 20
REQUEST = Struct(">IHHQQI")
READ, WRITE, DISC, FLUSH, TRIM, WRITE_ZEROES, BLOCK_STATUS = 0, 1, 2, 3, 4, 6, 7
FUA, NO_HOLE, DF = 1, 2, 4


def message_of(tokens: str) -> bytes:
    """Read golden notation: hexadecimal numbers, "text", and N*hh."""
    out = b""
    for text, count, repeated, plain in re.findall(r'"([^"]*)"|(\d+)\*([0-9a-f]{2})|([0-9a-f]+)', tokens):
        if plain:
            out += bytes.fromhex(plain)
        else:
            out += bytes.fromhex(repeated) * int(count) if count else text.encode()
    return out


def golden(name: str) -> tuple[bytes, list[bytes]]:
    """All that the client says, and each message of the server, in golden/`name`.txt."""
    lines = (Path(__file__).parent / "golden" / f"{name}.txt").read_text().splitlines()
    client = b"".join(message_of(line[2:]) for line in lines if line.startswith("C:"))
    return client, [message_of(line[2:]) for line in lines if line.startswith("S:")]


def match(heard: bytes, messages: list[bytes]) -> None:
    """Assert that exactly these messages were heard. In the transmission phase the order is the server's."""
    missing = list(messages)
    while heard:
        found = next((message for message in missing if heard.startswith(message)), None)
        assert found is not None, f"unexpected: {heard[:64].hex(' ', 4)}; missing: {missing[0][:64].hex(' ', 4)}"
        missing.remove(found)
        heard = heard[len(found) :]
    assert not missing


def request(command: int, offset: int, length: int, *, cookie: int = 1, flags: int = 0, payload: bytes = b"") -> bytes:
    return REQUEST.pack(0x25609513, flags, command, cookie, offset, length) + payload


def write(offset: int, payload: bytes, *, cookie: int = 1, flags: int = 0) -> bytes:
    return request(WRITE, offset, len(payload), cookie=cookie, flags=flags, payload=payload)


def option(number: int, data: bytes = b"") -> bytes:
    return b"IHAVEOPT" + number.to_bytes(4, "big") + len(data).to_bytes(4, "big") + data


GO = option(7, bytes(4) + bytes(2))
STRUCTURED = option(8)


def replies(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Split a stream of structured and simple replies: (cookie, error or -1 for data, data or sentence)."""
    while data:
        if data[:4] == bytes.fromhex("67446698"):
            yield int.from_bytes(data[8:16], "big"), int.from_bytes(data[4:8], "big"), b""
            data = data[16:]
            continue
        assert data[:4] == bytes.fromhex("668e33ef")
        kind, size = int.from_bytes(data[6:8], "big"), int.from_bytes(data[16:20], "big")
        cookie, body, data = int.from_bytes(data[8:16], "big"), data[20 : 20 + size], data[20 + size :]
        if kind == 0x8001:
            assert size == 6 + int.from_bytes(body[4:6], "big")
            yield cookie, int.from_bytes(body[:4], "big"), body[6:]
        elif kind == 1:
            yield cookie, -1, body
        else:
            assert (kind, size) == (0, 0)
            yield cookie, 0, b""


class Wire:
    """`say` feeds the connection; `heard` is what it has answered since the last `take`."""

    def __init__(
        self,
        size: int = MIB,
        *,
        flags: UnitFlag = ALL,
        version: int = 2,
        slots: int = 64,
        part_bytes: int = MIB,
        held_bytes_max: int = 16 * MIB,
    ) -> None:
        self.due: list[Callable[[], None]] = []
        self.heard = bytearray()
        self._reads_answers = True
        self._is_awake = False
        self._unsaid = b""
        pool = BufferPool(slots, SPLIT_BYTES, holders={"all": slots})
        unit = unit_of(size, flags=flags, version=version)
        self.driver = MemoryDriver(unit, pool, lambda delay_s, callback: self.due.append(callback))
        self.connection = Connection(
            self.driver,
            lambda: export_of("unit_1", self.driver.unit),
            self._wake,
            part_bytes=part_bytes,
            held_bytes_max=held_bytes_max,
        )
        self.driver.on_room = self._wake

    def _wake(self) -> None:
        self._is_awake = True

    def deafen(self) -> None:
        """Leave answers unread."""
        self._reads_answers = False

    def listen(self) -> None:
        """Read answers again: the socket becomes writable."""
        self._reads_answers = True
        self._wake()

    @property
    def unsaid(self) -> int:
        """Bytes that the connection does not want yet."""
        return len(self._unsaid)

    def open(self, *, structured: bool = True) -> "Wire":
        """Get through the handshake."""
        self.say(bytes([0, 0, 0, 3]) + (STRUCTURED if structured else b"") + GO)
        assert self.take().endswith(bytes.fromhex("00000007 00000001 00000000"))
        return self

    def say(self, data: bytes, step: int = 1 << 30) -> None:
        """Feed `data` in pieces of at most `step` bytes, and let everything happen that can."""
        self._unsaid += data
        while self._feed(step) or self._look() or self._work():
            pass

    def take(self) -> bytes:
        data = bytes(self.heard)
        self.heard.clear()
        return data

    def ask(self, data: bytes) -> list[tuple[int, int, bytes]]:
        """Say it, and split what is answered."""
        self.say(data)
        return list(replies(self.take()))

    def hang_up(self) -> None:
        """Vanish; what is with the driver comes back."""
        self.connection.lost()
        while self._work():
            pass

    def all_slots_free(self) -> bool:
        return self.driver.pool.free_count == self.driver.pool.slots and self.driver.made == self.driver.released

    def _feed(self, step: int) -> bool:
        if not self._unsaid or not self.connection.wants_input:
            return False
        given = 0
        for target in self.connection.targets():
            size = min(len(target), step - given, len(self._unsaid))
            target[:size] = self._unsaid[:size]
            self._unsaid = self._unsaid[size:]
            given += size
        self.connection.received(given)
        return True

    def _look(self) -> bool:
        """Do what an edge does when it is woken, and only then: whoever forgets to wake it hangs."""
        if not self._is_awake:
            return False
        self._is_awake = False
        outbox = self.connection.outbox
        while outbox.unsent_bytes and self._reads_answers:
            data = b"".join(outbox.first(3))
            outbox.sent(len(data))
            self.heard += data
        if self.connection.stalled:
            self.connection.resume()
        return True

    def _work(self) -> bool:
        due, self.due = self.due, []
        for callback in due:
            callback()
        return bool(due)
