"""Proves that 10,000 bad inputs at both ports leave an NSU's memory, descriptors and children as they were.

An input is a few words of a znreq_t made wrong, cut anywhere, with anything behind it, said at one of the
four places where an NSU listens to a host: configuration socket and data socket, before and after its login.
After each the server has to hang up or to refuse; it never hangs. Hypothesis finds the inputs, many in one
example; what it draws stays small (a seed, not the bytes), so that a failing example is short. All the while
another host works.
"""

import os
import random
import resource
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis import strategies as st

from tests.harness import ServerUnderTest, spawn_server
from tests.system.independent_v1_host import (
    OP_GET_CAPACITIES,
    OP_GET_VERSION,
    OP_READ,
    OP_WRITE,
    Closed,
    ConfigSocket,
    DataSocket,
    Message,
    Neighbour,
    Session,
    Wire,
    log_in,
)

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(300)]

INPUTS = 10_000
INPUTS_PER_EXAMPLE = 50
HOST, OTHER_HOST = "127.0.0.1", "127.0.0.3"
PLACES = ("config", "config after login", "data", "data after login")

MEMORY_GROWTH_BYTES_MAX = 2 << 20
"""Over all inputs: 200 bytes lost with each are found, one arena more or less of the allocator is not."""

HANG_UP_S = 5.0
"""Far more than a busy machine needs to answer or to close."""

BASES = (
    Message(),
    Message(op=OP_GET_VERSION, version=3),
    Message(op=OP_GET_CAPACITIES),
    Message(op=OP_READ, reqsz_lo=4096),
    Message(op=OP_WRITE, reqsz_lo=4096),
    Message(version=2, op=0x2006),
)


class BadInput(NamedTuple):
    """What is said, and where; bytes are made of it by `spoken`."""

    place: str
    base: Message
    wrong_words: list[tuple[int, int]]
    tail_bytes: int
    cut_bytes: int
    seed: int

    def spoken(self) -> bytes:
        """The message with its wrong words and a random tail, cut at the end."""
        words = list(self.base)
        for index, value in self.wrong_words:
            words[index] = value
        said = Message(*words).packed() + random.Random(self.seed).randbytes(self.tail_bytes)
        return said[: max(1, len(said) - self.cut_bytes)]


TELLING_WORDS = [0, 1, 2, 3, 4, 511, 513, 0x1005, 0x2006, 0x7FFFFFFF, 0x80000000, 0xFFFFFE00, 0xFFFFFFFF]

bad_inputs = st.builds(
    BadInput,
    place=st.sampled_from(PLACES),
    base=st.sampled_from(BASES),
    wrong_words=st.lists(
        st.tuples(st.integers(0, 15), st.sampled_from(TELLING_WORDS) | st.integers(0, 0xFFFFFFFF)),
        min_size=1,
        max_size=3,
    ),
    tail_bytes=st.sampled_from([0, 0, 1, 511, 512, 4096]),
    cut_bytes=st.sampled_from([0, 0, 1, 100, 511]),
    seed=st.integers(0, 0xFFFFFFFF),
)


@dataclass
class Noisemaker:
    """Says bad inputs, keeps its two logged-in sockets as long as the server does, counts."""

    server: ServerUnderTest
    said: Counter[str] = field(default_factory=Counter)
    _session: Session | None = None
    _data: DataSocket | None = None

    def say(self, bad: BadInput) -> None:
        """One input, at its place."""
        match bad.place:
            case "config":
                self._say_and_leave(ConfigSocket(HOST, self.server.config_port, source=(HOST, 0)), bad)
            case "config after login":
                self._say_and_leave(self._logged_in().config, bad)
                self.leave()
            case "data":
                self._say_and_leave(self._stranger(bad.seed), bad)
            case "data after login":
                self._say_on_data(bad)
        self.said[bad.place] += 1

    @staticmethod
    def _say_and_leave(wire: Wire, bad: BadInput) -> None:
        """Says it, then nothing more: the server has to hang up, whatever it answered before."""
        with wire:
            wire.send(bad.spoken())
            with suppress(OSError):  # not connected any more
                wire.socket.shutdown(socket.SHUT_WR)
            wire.until_closed(HANG_UP_S)

    def _say_on_data(self, bad: BadInput) -> None:
        """On the open data socket, which stays open when the server understood and refused one frame."""
        if self._data is None:
            self._data = _when_there_is_a_place(self._logged_in().open_data)
        if bad.tail_bytes or bad.cut_bytes or bad.base.op != OP_READ:
            self._say_and_leave(self._data, bad)
            self._data = None
            return
        self._data.send(bad.spoken())
        if not _refused(self._data):
            self._data.close()
            self._data = None

    def _stranger(self, seed: int) -> DataSocket:
        """From all over 127/8: who fails too often from one address is answered ever more slowly."""
        address = HOST if seed % 64 == 0 else f"127.9.{seed >> 8 & 0xFF}.{seed % 250 + 1}"
        port = self._logged_in().dataports[0]
        return _when_there_is_a_place(lambda: DataSocket(port.address, port.port, source=(address, 0)))

    def _logged_in(self) -> Session:
        if self._session is None:
            self._session = log_in(HOST, self.server.config_port, source_address=HOST)
        return self._session

    def leave(self) -> None:
        """Closes all of it."""
        for wire in (self._data, self._session):
            if wire is not None:
                wire.close()
        self._data = self._session = None


def _refused(data: DataSocket) -> bool:
    """Whether the next thing heard is a refusal. A wrong word may have made a good request of it, too."""
    data.socket.settimeout(0.05)
    try:
        return data.message().status != 0
    except (Closed, TimeoutError):
        return False


def _when_there_is_a_place(connect: Callable[[], DataSocket]) -> DataSocket:
    """Connects again while all places are taken: those before us may only just be closing."""
    deadline_s = time.monotonic() + HANG_UP_S
    while True:
        try:
            return connect()
        except (ConnectionRefusedError, Closed):
            if time.monotonic() > deadline_s:
                raise


class State(NamedTuple):
    """What must be as it was."""

    children: int
    descriptors: int


def state_of(pid: int) -> State:
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return State(len(file.read().split()), len(os.listdir(f"/proc/{pid}/fd")))


def memory_bytes(pid: int) -> int:
    """Resident and its own: what all processes share is not counted against one."""
    with open(f"/proc/{pid}/statm") as file:
        _, resident, shared, *_ = file.read().split()
    return (int(resident) - int(shared)) * os.sysconf("SC_PAGESIZE")


def settled(pid: int, expected: State, timeout_s: float) -> State:
    """The state as soon as it is the expected one, or what it is when the time is over."""
    deadline_s = time.monotonic() + timeout_s
    while (state := state_of(pid)) != expected and time.monotonic() < deadline_s:
        time.sleep(0.05)
    return state


@contextmanager
def running_server() -> Iterator[ServerUnderTest]:
    """An NSU that in the end must be the process it was, and must have printed no traceback."""
    # Not a fixture: a failure has to pass through spawn_server, which then shows the server's log.
    with spawn_server(v1_hosts=(HOST, OTHER_HOST), connections_max=4, units={"unit_1": 4096}) as server:
        pid = server.server_pid
        yield server
        assert server.server_pid == pid, "the server was started anew"
        assert "Traceback" not in server.machine.log(), server.machine.log()


def make_noise(maker: Noisemaker, inputs: int) -> None:
    """At least so many of them."""

    @settings(
        max_examples=inputs // INPUTS_PER_EXAMPLE,
        phases=[Phase.generate],
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.quiet,  # of all the inputs of an example, the one that failed is named below
    )
    @given(st.lists(bad_inputs, min_size=INPUTS_PER_EXAMPLE, max_size=INPUTS_PER_EXAMPLE))
    def say_them(batch: list[BadInput]) -> None:
        for bad in batch:
            try:
                maker.say(bad)
            except Exception as error:
                error.add_note(f"after {sum(maker.said.values())} inputs, at {bad}")
                raise

    say_them()


def test_ten_thousand_bad_inputs_leave_no_trace() -> None:
    with running_server() as server, ExitStack() as stack:
        pid = server.server_pid
        neighbour = Neighbour(log_in(HOST, server.config_port, source_address=OTHER_HOST))
        stack.callback(neighbour.close)
        maker = Noisemaker(server)
        stack.callback(maker.leave)
        neighbour.check_undisturbed(slowest_s=2.0)
        before = state_of(pid)
        # What a first time costs (imports, caches, arenas) is no leak: memory is compared from here on.
        make_noise(maker, 20 * INPUTS_PER_EXAMPLE)
        memory_before_bytes = memory_bytes(pid)

        make_noise(maker, INPUTS)

        maker.leave()
        assert sum(maker.said.values()) >= INPUTS
        assert min(maker.said[place] for place in PLACES) > INPUTS // 100, maker.said
        # Six seconds: the handshake timer has then seen to whoever was left half-spoken.
        assert settled(pid, before, 6.0) == before
        assert memory_bytes(pid) - memory_before_bytes < MEMORY_GROWTH_BYTES_MAX
        neighbour.check_undisturbed(slowest_s=2.0)
        with log_in(HOST, server.config_port, source_address=HOST) as session, session.open_data() as data:
            assert data.write(0, 0, bytes(512)).status == 0


FLOOD = 1_500
"""Times three sockets: many more than a process may have descriptors by default (1,024)."""

DESCRIPTORS_MAX = 512
"""Of the server, at any moment of the flood: half of that default."""


def test_a_flood_of_strangers_keeps_nobody_out() -> None:
    """Silent, or wrong and never listening to the answer: the server keeps few of them, and not for long."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with running_server() as server, ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        neighbour = Neighbour(log_in(HOST, server.config_port, source_address=OTHER_HOST))
        stack.callback(neighbour.close)
        session = stack.enter_context(log_in(HOST, server.config_port, source_address=HOST))
        before = state_of(server.server_pid)
        port = session.dataports[0]
        wrong = Message(reqsz_lo=session.config.challenge ^ 1).packed()
        most_descriptors = 0
        for number in range(FLOOD):
            most_descriptors = max(most_descriptors, state_of(server.server_pid).descriptors)
            source = (f"127.8.{number % 4}.1", 0)
            stack.enter_context(ConfigSocket(HOST, server.config_port, source=source))
            config = stack.enter_context(ConfigSocket(HOST, server.config_port, source=source))
            config.send(wrong)
            data = stack.enter_context(DataSocket(port.address, port.port, source=source))
            data.send(wrong)

        with session.open_data() as mine:
            assert mine.read(0, 0, 512)[0].status == 0
        neighbour.check_undisturbed(slowest_s=2.0)
        assert most_descriptors < DESCRIPTORS_MAX
        # The strangers are all still there, and the server has let go of them.
        assert settled(server.server_pid, before, 7.0) == before
