"""A version 0x01 host written from Appendices C and D alone: sockets and struct, and nothing of this project.

It is the other side of every v1 test, so it must not share a mistake with what it tests: no import and no
constant of ours, every number typed in again from the patent's text (and from docs/protocol/v1.md the three
opcodes and the size of z_get_dataport_t, which the text leaves open). It is written to be watched, not to be
fast: one request at a time, every answer handed back whole, and any of it can be made wrong on purpose.

`znreq_t` (Appendix C), all words big-endian ("converted to network order"):

OFFSET SIZE MEANING                 OFFSET SIZE MEANING
     0    4 zn_type, 1                  32    4 zn_flags
     4    4 zn_version, 1               36    4 zn_requestid
     8    4 zn_hostid                   40    4 zn_status
    12    4 zn_zlun                     44    4 zn_reqsz_hi
    16    4 zn_authentic                48    4 zn_reqsz_lo
    20    4 zn_sequence                 52    4 zn_lba_hi
    24    4 zn_nsequence                56    4 zn_lba_lo
    28    4 zn_op                       60    4 zn_marker
                                        64  448 zn_pad
"""

import ipaddress
import random
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple, Self

MESSAGE_BYTES = 512
BLOCK_BYTES = 512

OP_READ = 0x2
OP_WRITE = 0x3
OP_GET_VERSION = 0x1005
OP_GET_STARTTIME = 0x1006
OP_GET_CAPACITIES = 0x1007
OP_GET_DATAPORT = 0x1008

STATUS_REFUSED = 0xFFFFFFFF
"""Appendix D's -1, in 32 bits."""

_WORDS = struct.Struct(">16I")
_DATAPORT = struct.Struct(">I16sII")
assert _DATAPORT.size == 28


class Message(NamedTuple):
    """The sixteen words of a znreq_t, in the order of Appendix C."""

    type: int = 1
    version: int = 1
    hostid: int = 0
    zlun: int = 0
    authentic: int = 0
    sequence: int = 0
    nsequence: int = 0
    op: int = 0
    flags: int = 0
    requestid: int = 0
    status: int = 0
    reqsz_hi: int = 0
    reqsz_lo: int = 0
    lba_hi: int = 0
    lba_lo: int = 0
    marker: int = 0

    @classmethod
    def unpacked(cls, raw: bytes) -> Self:
        """The words of the first 64 of 512 bytes."""
        return cls(*_WORDS.unpack_from(raw))

    def packed(self) -> bytes:
        """The 512 bytes of it, padding zeroed."""
        return _WORDS.pack(*self).ljust(MESSAGE_BYTES, b"\0")


class Closed(Exception):  # noqa: N818  (an outcome here, not an error)
    """The server has closed the socket; `received` is what came before that, not a whole message."""

    def __init__(self, received: bytes) -> None:
        super().__init__(f"closed after {len(received)} bytes")
        self.received = received


class DataPort(NamedTuple):
    """One z_get_dataport_t of step 11."""

    address: str
    port: int
    max_connections: int


class Wire:
    """One TCP socket to the NSU; `source` is the address and port it comes from (port 0: any)."""

    def __init__(self, address: str, port: int, *, source: tuple[str, int] = ("", 0)) -> None:
        self.socket = socket.create_connection((address, port), timeout=10, source_address=source)

    def send(self, data: bytes) -> None:
        """Sends it all; a server that has hung up already is told by the next receive."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(data)

    def receive(self, length_bytes: int) -> bytes:
        """Exactly that many bytes; raises Closed, and TimeoutError after ten seconds without any."""
        received = b""
        while len(received) < length_bytes:
            try:
                piece = self.socket.recv(length_bytes - len(received))
            except ConnectionResetError:
                piece = b""
            if not piece:
                raise Closed(received)
            received += piece
        return received

    def message(self) -> Message:
        """The next znres_t."""
        return Message.unpacked(self.receive(MESSAGE_BYTES))

    def until_closed(self, timeout_s: float) -> bytes:
        """All that still comes until the server closes; TimeoutError when it does not within `timeout_s`."""
        self.socket.settimeout(timeout_s)
        try:
            self.receive(1 << 30)
        except Closed as closed:
            return closed.received
        raise AssertionError("unreachable: nobody sends a gigabyte here")

    def close(self) -> None:
        """Harmless when done already."""
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class ConfigSocket(Wire):
    """The configuration socket of Appendix D, steps 1 to 11."""

    challenge: int

    def greet(self) -> Message:
        """Step 2: the NSU speaks first, with its versions and a 32-bit pseudo-random number."""
        offer = self.message()
        self.challenge = offer.reqsz_lo
        return offer

    def reply(self, *, version: int = 1, proof: int | None = None) -> None:
        """Step 3: the 32-bit 1's complement of that number, or `proof`."""
        if proof is None:
            proof = self.challenge ^ 0xFFFFFFFF
        self.send(Message(op=OP_GET_VERSION, version=version, reqsz_lo=proof).packed())

    def answer(self, *, version: int = 1, proof: int | None = None) -> Message:
        """Steps 3 and 5: the reply, and what the NSU says to it."""
        self.reply(version=version, proof=proof)
        return self.message()

    def starttime(self) -> int:
        """Steps 6 and 7: the opaque cookie."""
        return self._ask(OP_GET_STARTTIME).reqsz_lo

    def capacities(self) -> list[int]:
        """Steps 8 and 9: that number of uint64_t, "specified in BYTES"."""
        count = self._ask(OP_GET_CAPACITIES).reqsz_lo
        return list(struct.unpack(f">{count}Q", self.receive(8 * count)))

    def dataports(self) -> list[DataPort]:
        """Steps 10 and 11."""
        count = self._ask(OP_GET_DATAPORT).reqsz_lo
        return [self._dataport(self.receive(_DATAPORT.size)) for _ in range(count)]

    def _ask(self, op: int) -> Message:
        self.send(Message(op=op).packed())
        answer = self.message()
        assert answer.status == 0, answer
        return answer

    @staticmethod
    def _dataport(raw: bytes) -> DataPort:
        ip_type, address, port, max_connections = _DATAPORT.unpack(raw)
        assert ip_type in (4, 6), ip_type
        # IPv4 stands in the first four of the sixteen bytes.
        return DataPort(str(ipaddress.ip_address(address[: {4: 4, 6: 16}[ip_type]])), port, max_connections)


class DataSocket(Wire):
    """A data socket: login by steps 14 and 15, then Appendix C's loop."""

    def login(self, token: int) -> Message:
        """Step 14: "the pseudo-random number it received from the NSU in Step (2)"; step 15: the answer."""
        self.send(Message(reqsz_lo=token).packed())
        return self.message()

    def exchange(self, request: Message, payload: bytes = b"") -> Message:
        """Steps 2b to 2d of Appendix C: the request, the data if there is any, the response."""
        self.send(request.packed() + payload)
        return self.message()

    def write(self, zlun: int, lba: int, payload: bytes) -> Message:
        """Writes whole blocks; the response says whether."""
        return self.exchange(Message(op=OP_WRITE, zlun=zlun, lba_lo=lba, reqsz_lo=len(payload)), payload)

    def read(self, zlun: int, lba: int, length_bytes: int) -> tuple[Message, bytes]:
        """The response, and the data if there is any: on an error no data follows."""
        answer = self.exchange(Message(op=OP_READ, zlun=zlun, lba_lo=lba, reqsz_lo=length_bytes))
        return answer, self.receive(length_bytes) if answer.status == 0 else b""


@contextmanager
def _closed_unless_good(wire: Wire) -> Iterator[None]:
    try:
        yield
    except BaseException:
        wire.close()
        raise


@dataclass
class Session:
    """A host that has run the whole of Appendix D: one configuration socket, some data sockets."""

    config: ConfigSocket
    capacities_bytes: list[int]
    dataports: list[DataPort]
    source: tuple[str, int]

    def open_data(self, index: int = 0) -> DataSocket:
        """One more data socket on that data port, logged in."""
        data = DataSocket(self.dataports[index].address, self.dataports[index].port, source=self.source)
        with _closed_unless_good(data):
            answer = data.login(self.config.challenge)
            assert answer.status == 0, answer
        return data

    def close(self) -> None:
        """Closes the configuration socket; note 2 of Appendix D has the NSU close the data sockets then."""
        self.config.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def log_in(address: str, config_port: int, *, source_address: str = "") -> Session:
    """Steps 1 to 11."""
    config = ConfigSocket(address, config_port, source=(source_address, 0))
    with _closed_unless_good(config):
        config.greet()
        answer = config.answer()
        assert answer.status == 0, answer
        return Session(config, config.capacities(), config.dataports(), (source_address, 0))


def from_privileged_port(address: str, config_port: int, *, source_address: str = "") -> ConfigSocket:
    """Step 1: "issued from a TCP/IP Privileged Port, with port number less than 1024". Needs root.

    Raises OSError when none of them is free.
    """
    failure: OSError | None = None
    for port in random.sample(range(600, 1024), 50):
        try:
            return ConfigSocket(address, config_port, source=(source_address, port))
        except OSError as error:
            failure = error
    raise failure or OSError("no port tried")


class Neighbour:
    """Another host at work in a thread: writes, reads back and compares, and remembers its slowest round.

    Whatever a test does wrong to the NSU must leave it undisturbed. Its word is `check_undisturbed()`.
    """

    def __init__(self, session: Session, *, zlun: int = 0, blocks: int = 128) -> None:
        self.rounds = 0
        self.slowest_s = 0.0
        self.failure: Exception | None = None
        self._session, self._data = session, session.open_data()
        self._zlun, self._blocks = zlun, blocks
        self._random = random.Random(2001)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="neighbour", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        # The pause leaves the processor to those who are being tested.
        while self.failure is None and not self._stop.wait(0.005):
            try:
                self._round()
            except Exception as error:  # noqa: BLE001  (outermost line of the thread: told by check_undisturbed)
                self.failure = error

    def _round(self) -> None:
        """One write of up to 32 blocks, read back."""
        length = self._random.randint(1, min(32, self._blocks))
        lba = self._random.randint(0, self._blocks - length)
        payload = self._random.randbytes(length * BLOCK_BYTES)
        begun_s = time.monotonic()
        written = self._data.write(self._zlun, lba, payload)
        answer, read_back = self._data.read(self._zlun, lba, len(payload))
        self.slowest_s = max(self.slowest_s, time.monotonic() - begun_s)
        assert written.status == answer.status == 0, (written, answer)
        assert read_back == payload, f"blocks {lba} to {lba + length - 1} came back wrong"
        self.rounds += 1

    def check_undisturbed(self, *, slowest_s: float) -> None:
        """It goes on now, has had no failure, and no round took longer than `slowest_s`."""
        goal, deadline_s = self.rounds + 3, time.monotonic() + slowest_s
        while self.failure is None and self.rounds < goal and time.monotonic() < deadline_s:
            time.sleep(0.005)
        if self.failure is not None:
            raise AssertionError("the other host was disturbed") from self.failure
        assert self.rounds >= goal, f"the other host stands still, after {self.rounds} rounds"
        assert self.slowest_s <= slowest_s, f"the other host waited {self.slowest_s:.2f} s for one round"

    def close(self) -> None:
        """Ends its work, then closes its sockets."""
        self._stop.set()
        self._thread.join()
        self._data.close()
        self._session.close()
