"""Proves, with a host that knows only Appendices C and D, that an NSU keeps version 0x01, in good and in bad.

Every bad thing gets the answer the protocol names, in time, and costs nobody else anything: all the while
another host writes and reads back, and after each test it must have gone on undisturbed.
"""

import os
import random
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace

import pytest

from tests.harness import ServerUnderTest, spawn_server
from tests.system.independent_v1_host import (
    BLOCK_BYTES,
    MESSAGE_BYTES,
    OP_GET_VERSION,
    OP_READ,
    OP_WRITE,
    STATUS_REFUSED,
    Closed,
    ConfigSocket,
    DataSocket,
    Message,
    Neighbour,
    Session,
    Wire,
    from_privileged_port,
    log_in,
)

pytestmark = pytest.mark.system

HOST, OTHER_HOST = "127.0.0.1", "127.0.0.3"
BLOCKS = 4096
CONNECTIONS_MAX = 4
EINVAL, ENXIO, EROFS = 22, 6, 30
KIB = 1024

HANDSHAKE_TIMEOUT_S = 5.0
PROMPT_S = 1.0
"""What is not a matter of a timer happens within this, on a busy machine too."""


UNITS = {"unit_1": BLOCKS, "unit_2": 1, "unit_3": 8}

CHANGE_SEEN_S = 5.0
"""A changed nsu.conf is seen by looking at it now and then."""


@pytest.fixture(scope="module")
def server() -> Iterator[ServerUnderTest]:
    with spawn_server(
        v1_hosts=(HOST, OTHER_HOST),
        connections_max=CONNECTIONS_MAX,
        units=UNITS,
        read_only=["unit_3"],
        shared_port=True,
    ) as running:
        yield running
        assert "Traceback" not in running.machine.log(), running.machine.log()


@pytest.fixture(scope="module")
def neighbour(server: ServerUnderTest) -> Iterator[Neighbour]:
    neighbour = Neighbour(log_in(HOST, server.config_port, source_address=OTHER_HOST))
    yield neighbour
    neighbour.close()


@pytest.fixture(autouse=True)
def _nobody_else_notices(neighbour: Neighbour) -> Iterator[None]:
    yield
    neighbour.check_undisturbed(slowest_s=PROMPT_S)


@pytest.fixture
def session(server: ServerUnderTest) -> Iterator[Session]:
    with log_in(HOST, server.config_port, source_address=HOST) as session:
        yield session


@pytest.fixture
def data(session: Session) -> Iterator[DataSocket]:
    with session.open_data() as data:
        yield data


def greeted(server: ServerUnderTest) -> ConfigSocket:
    config = ConfigSocket(HOST, server.config_port, source=(HOST, 0))
    config.greet()
    return config


def stranger(session: Session) -> DataSocket:
    """A data socket that has not said anything yet."""
    return DataSocket(session.dataports[0].address, session.dataports[0].port, source=(HOST, 0))


# --- the good path: Appendix D step by step, Appendix C's loop ---


def test_step_2_the_nsu_speaks_first_and_never_twice_the_same(server: ServerUnderTest) -> None:
    challenges = set()
    for _ in range(4):
        with ConfigSocket(HOST, server.config_port, source=(HOST, 0)) as config:
            offer = config.greet()
            challenges.add(offer.reqsz_lo)
        assert (offer.type, offer.op) == (1, OP_GET_VERSION)
        assert offer.version & 0x01, "version 0x01 is not in the bitmask"
    assert len(challenges) == 4


def test_steps_3_to_11_tell_the_host_what_is_its_own(server: ServerUnderTest) -> None:
    with greeted(server) as config:
        assert config.answer().status == 0
        cookie = config.starttime()
        assert config.capacities() == [blocks * BLOCK_BYTES for blocks in UNITS.values()]
        assert config.dataports() == [(*server.data_ports[0], CONNECTIONS_MAX)]
        assert config.starttime() == cookie
    with greeted(server) as again:
        assert again.answer().status == 0
        assert again.starttime() == cookie, "the configuration has not changed, the cookie has"


@pytest.mark.parametrize("length_bytes", [BLOCK_BYTES, 4 * KIB, 64 * KIB, 128 * KIB])
def test_what_is_written_is_read(data: DataSocket, length_bytes: int) -> None:
    payload = random.Random(length_bytes).randbytes(length_bytes)
    lba = BLOCKS - length_bytes // BLOCK_BYTES  # up to the very last block
    assert data.write(0, lba, payload).status == 0
    answer, read_back = data.read(0, lba, length_bytes)
    assert answer.status == 0
    assert read_back == payload


def test_note_1_every_data_socket_leads_to_every_unit(session: Session) -> None:
    payload = os.urandom(BLOCK_BYTES)
    with session.open_data() as writer, session.open_data() as reader:
        for zlun in (0, 1):
            assert writer.write(zlun, 0, payload).status == 0
            assert reader.read(zlun, 0, BLOCK_BYTES)[1] == payload


def test_a_request_may_come_in_pieces_or_behind_another(data: DataSocket) -> None:
    payload = os.urandom(2 * BLOCK_BYTES)
    write = Message(op=OP_WRITE, lba_lo=8, reqsz_lo=len(payload)).packed() + payload
    for start in range(0, len(write), 100):
        data.send(write[start : start + 100])
        time.sleep(0.001)
    assert data.message().status == 0
    read = Message(op=OP_READ, lba_lo=8, reqsz_lo=BLOCK_BYTES)
    data.send(read.packed() + read._replace(lba_lo=9).packed())
    for half in (payload[:BLOCK_BYTES], payload[BLOCK_BYTES:]):
        assert data.message().status == 0
        assert data.receive(BLOCK_BYTES) == half


def test_note_2_closing_the_configuration_socket_closes_the_data_sockets(server: ServerUnderTest) -> None:
    session = log_in(HOST, server.config_port, source_address=HOST)
    with session.open_data() as first, session.open_data() as second:
        session.close()
        assert first.until_closed(PROMPT_S) == b""
        assert second.until_closed(PROMPT_S) == b""


def test_note_3_a_changed_file_cuts_off_exactly_the_hosts_whose_units_changed() -> None:
    with spawn_server(v1_hosts=(HOST, OTHER_HOST), units={"unit_1": 8, "unit_2": 8}) as server:
        with log_in(HOST, server.config_port, source_address=HOST) as session, session.open_data() as data:
            cookie = session.config.starttime()
            bystander = Neighbour(log_in(HOST, server.config_port, source_address=OTHER_HOST), blocks=8)
            try:
                server.nsu.hosts[0].units[1].last_lba -= 3
                server.rewrite()
                assert session.config.until_closed(CHANGE_SEEN_S) == b""
                assert data.until_closed(PROMPT_S) == b""
                bystander.check_undisturbed(slowest_s=PROMPT_S)
            finally:
                bystander.close()
        with log_in(HOST, server.config_port, source_address=HOST) as session:
            assert session.capacities_bytes == [8 * BLOCK_BYTES, 5 * BLOCK_BYTES]
            assert session.config.starttime() != cookie, "the configuration has changed, the cookie has not"


def test_hosts_that_are_given_the_same_blocks_share_them() -> None:
    payload = os.urandom(BLOCK_BYTES)
    with spawn_server(v1_hosts=(HOST, OTHER_HOST), units={"unit_1": 8}) as server:
        server.nsu.hosts[1].units[0] = replace(server.nsu.hosts[0].units[0], access="read-only")
        with log_in(HOST, server.config_port, source_address=OTHER_HOST) as cut_off:
            server.rewrite()
            assert cut_off.config.until_closed(CHANGE_SEEN_S) == b""
        with (
            log_in(HOST, server.config_port, source_address=HOST) as one,
            log_in(HOST, server.config_port, source_address=OTHER_HOST) as other,
            one.open_data() as writer,
            other.open_data() as reader,
        ):
            assert writer.write(0, 7, payload).status == 0
            assert reader.read(0, 7, BLOCK_BYTES)[1] == payload


# --- who is not let in ---


WRONG_COMPLEMENTS = [lambda n: n, lambda n: n ^ 0xFFFFFFFE, lambda _: 0, lambda n: -n & 0xFFFFFFFF]


@pytest.mark.parametrize("wrong", WRONG_COMPLEMENTS)
def test_step_5_a_wrong_complement_is_told_and_closed(server: ServerUnderTest, wrong: Callable[[int], int]) -> None:
    with greeted(server) as config:
        assert config.answer(proof=wrong(config.challenge)).status == STATUS_REFUSED
        assert config.until_closed(PROMPT_S) == b""


@pytest.mark.parametrize("version", [0, 0x2, 0x3, 0x80000000])
def test_step_3_a_version_that_was_not_offered_is_refused(server: ServerUnderTest, version: int) -> None:
    with greeted(server) as config:
        config.reply(version=version)
        refused_or_nothing(config.until_closed(PROMPT_S))


def refused_or_nothing(said: bytes) -> None:
    """One refusal at most; none where the reset that unread data causes has overtaken it."""
    assert len(said) in (0, MESSAGE_BYTES), f"{len(said)} bytes were said"
    assert not said or Message.unpacked(said).status != 0, "taken for good"


@pytest.mark.parametrize("wrong", [lambda n: n ^ 1, lambda n: n ^ 0xFFFFFFFF, lambda _: 0])
def test_step_15_a_wrong_token_is_told_and_closed(session: Session, wrong: Callable[[int], int]) -> None:
    with stranger(session) as data:
        assert data.login(wrong(session.config.challenge)).status == STATUS_REFUSED
        assert data.until_closed(PROMPT_S) == b""


def test_a_token_of_a_former_session_is_worth_nothing(server: ServerUnderTest) -> None:
    with log_in(HOST, server.config_port, source_address=HOST) as former:
        token = former.config.challenge
    with log_in(HOST, server.config_port, source_address=HOST) as session, stranger(session) as data:
        assert data.login(token).status == STATUS_REFUSED


def test_only_a_login_that_succeeds_ends_the_former_session(
    server: ServerUnderTest, session: Session, data: DataSocket
) -> None:
    """A host that was rebooted gets in at once; who merely connects, or fails, throws nobody out."""
    with greeted(server), greeted(server) as failing:
        assert failing.answer(proof=0).status == STATUS_REFUSED
        assert data.read(0, 0, BLOCK_BYTES)[0].status == 0
    with log_in(HOST, server.config_port, source_address=HOST) as later, later.open_data() as newer:
        assert data.until_closed(PROMPT_S) == b""
        assert session.config.until_closed(PROMPT_S) == b""
        assert newer.read(0, 0, BLOCK_BYTES)[0].status == 0


def test_an_address_that_is_no_host_gets_nothing(server: ServerUnderTest) -> None:
    with ConfigSocket(HOST, server.config_port, source=("127.0.0.77", 0)) as config:
        # Without a byte, or greeted like anybody and then refused: both tell a stranger nothing.
        said = b""
        with suppress(Closed):
            config.greet()
            config.reply()
            said = config.until_closed(PROMPT_S)
        refused_or_nothing(said)


def test_step_4_silence_is_closed_after_five_seconds_however_it_is_silent(
    server: ServerUnderTest, session: Session
) -> None:
    half = Message(op=OP_GET_VERSION).packed()[:300]
    silent: dict[str, Wire] = {}
    begun_s = time.monotonic()
    silent["configuration socket"] = greeted(server)
    silent["configuration socket, half a reply"] = greeted(server)
    silent["data socket"] = stranger(session)
    silent["data socket, half a login"] = stranger(session)
    for name in silent:
        if "half" in name:
            silent[name].send(half)
    try:
        closed_after_s = seconds_until_closed(silent, begun_s, most_s=7.0, nudge_after_s=2.5)
    finally:
        for wire in silent.values():
            wire.close()
    wrong = {
        name: closed_after_s.get(name)
        for name in silent
        if abs(closed_after_s.get(name, 99.0) - HANDSHAKE_TIMEOUT_S) > 1.0
    }
    assert not wrong, f"seconds until closed: {wrong}"


def seconds_until_closed(
    wires: dict[str, Wire], begun_s: float, *, most_s: float, nudge_after_s: float
) -> dict[str, float]:
    """When each was closed. The half-silent say 100 bytes more on the way, which must not win them time."""
    closed_after_s: dict[str, float] = {}
    nudged = False
    with selectors.DefaultSelector() as selector:
        for name, wire in wires.items():
            selector.register(wire.socket, selectors.EVENT_READ, name)
        while selector.get_map() and (passed_s := time.monotonic() - begun_s) < most_s:
            if passed_s > nudge_after_s and not nudged:
                nudged = True
                for name, wire in wires.items():
                    if "half" in name:
                        wire.send(bytes(100))
            for key, _ in selector.select(timeout=0.1):
                assert isinstance(key.fileobj, socket.socket)
                assert key.fileobj.recv(MESSAGE_BYTES) == b"", f"{key.data}: something was said to silence"
                closed_after_s[key.data] = time.monotonic() - begun_s
                selector.unregister(key.fileobj)
    return closed_after_s


def test_step_13_one_connection_too_many_is_refused_and_a_freed_place_is_given_again() -> None:
    # A server of its own: where another host shares the data port, "too many" can't be told at connect.
    with spawn_server(v1_hosts=(HOST,), connections_max=2, units={"unit_1": 8}) as server:
        with log_in(HOST, server.config_port, source_address=HOST) as session:
            with session.open_data(), session.open_data() as second:
                refused_within(session, PROMPT_S)
                second.close()
                with accepted_within(session, PROMPT_S) as third:
                    assert third.read(0, 0, BLOCK_BYTES)[0].status == 0
                    refused_within(session, PROMPT_S)


def refused_within(session: Session, timeout_s: float) -> None:
    """The port closes a moment after the last place is taken: until then one may hang in the backlog."""
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        try:
            with stranger(session) as data:
                assert data.until_closed(timeout_s) == b""
        except ConnectionRefusedError:
            return
    pytest.fail("one connection too many was never refused")


def accepted_within(session: Session, timeout_s: float) -> DataSocket:
    deadline_s = time.monotonic() + timeout_s
    while True:
        try:
            return session.open_data()
        except (ConnectionRefusedError, Closed):
            if time.monotonic() > deadline_s:
                raise


def test_where_hosts_share_a_port_one_too_many_is_closed_without_a_byte(
    server: ServerUnderTest, session: Session
) -> None:
    open_now = [session.open_data() for _ in range(CONNECTIONS_MAX)]
    try:
        with stranger(session) as data:
            data.send(Message(reqsz_lo=session.config.challenge).packed())
            assert data.until_closed(PROMPT_S) == b""
    finally:
        for data in open_now:
            data.close()
    accepted_within(session, PROMPT_S).close()


def test_step_1_an_unprivileged_port_is_closed_without_a_byte() -> None:
    with spawn_server(v1_hosts=(HOST,), privileged_port=True, units={"unit_1": 8}) as server:
        with ConfigSocket(HOST, server.config_port, source=(HOST, 0)) as config:
            assert config.until_closed(PROMPT_S) == b""
        try:
            config = from_privileged_port(HOST, server.config_port, source_address=HOST)
        except PermissionError:
            pytest.skip("only root may connect from a port below 1024")
        with config:
            config.greet()
            assert config.answer().status == 0


# --- requests that are refused: their sender learns it, and his socket lives unless its frame is in doubt ---

WELL_FRAMED: dict[str, tuple[Message, bytes, int]] = {
    "read past the end": (Message(op=OP_READ, lba_lo=BLOCKS - 1, reqsz_lo=1024), b"", EINVAL),
    "read from beyond": (Message(op=OP_READ, lba_lo=BLOCKS, reqsz_lo=512), b"", EINVAL),
    "read at the highest LBA": (Message(op=OP_READ, lba_lo=0xFFFFFFFF, reqsz_lo=512), b"", EINVAL),
    "write past the end": (Message(op=OP_WRITE, lba_lo=BLOCKS - 1, reqsz_lo=1024), bytes(1024), EINVAL),
    "read of no unit": (Message(op=OP_READ, zlun=3, reqsz_lo=512), b"", ENXIO),
    "write to no unit": (Message(op=OP_WRITE, zlun=0xFFFFFFFF, reqsz_lo=512), bytes(512), ENXIO),
    "write to a read-only unit": (Message(op=OP_WRITE, zlun=2, reqsz_lo=512), bytes(512), EROFS),
    "read over 128 KiB": (Message(op=OP_READ, reqsz_lo=128 * KIB + 512), b"", EINVAL),
    "read of 4 GiB less a block": (Message(op=OP_READ, reqsz_lo=0xFFFFFE00), b"", EINVAL),
    "write over 128 KiB": (Message(op=OP_WRITE, reqsz_lo=128 * KIB + 512), bytes(128 * KIB + 512), EINVAL),
    "write of 4 MiB": (Message(op=OP_WRITE, reqsz_lo=4096 * KIB), bytes(4096 * KIB), EINVAL),
    "read of nothing": (Message(op=OP_READ, reqsz_lo=0), b"", EINVAL),
    "write of nothing": (Message(op=OP_WRITE, reqsz_lo=0), b"", EINVAL),
    "read, unaligned": (Message(op=OP_READ, reqsz_lo=513), b"", EINVAL),
    "write, unaligned": (Message(op=OP_WRITE, reqsz_lo=1000), bytes(1000), EINVAL),
    "read with a high LBA word": (Message(op=OP_READ, lba_hi=1, reqsz_lo=512), b"", EINVAL),
    "write with a high LBA word": (Message(op=OP_WRITE, lba_hi=1, reqsz_lo=512), bytes(512), EINVAL),
    "read with a high size word": (Message(op=OP_READ, reqsz_hi=1, reqsz_lo=512), b"", EINVAL),
    "operation nobody knows": (Message(op=0x9), b"", EINVAL),
    "operation of the other socket": (Message(op=OP_GET_VERSION), b"", EINVAL),
    "operation of version 0x02": (Message(op=0x4), b"", EINVAL),
}
"""What is wrong -> request, its data, the status that answers it."""


@pytest.mark.parametrize("what", WELL_FRAMED)
def test_a_well_framed_bad_request_costs_an_error_and_no_socket(data: DataSocket, what: str) -> None:
    request, payload, status = WELL_FRAMED[what]
    before = os.urandom(8 * KIB)
    assert data.write(0, 0, before).status == 0
    answer = data.exchange(request._replace(requestid=77), payload)
    assert answer.status == status
    assert answer.flags != 0, "Appendix C: zn_flags of a failed command holds extended error information"
    assert (answer.op, answer.zlun, answer.requestid) == (request.op, request.zlun, 77)
    # The very next request is understood, and nothing was written.
    answer, read_back = data.read(0, 0, len(before))
    assert answer.status == 0
    assert read_back == before


IN_DOUBT: dict[str, Message] = {
    "zn_type nobody knows": Message(type=2, op=OP_READ, reqsz_lo=512),
    "zn_type zero": Message(type=0, op=OP_READ, reqsz_lo=512),
    "zn_version nobody knows": Message(version=3, op=OP_READ, reqsz_lo=512),
    "operation nobody knows, with a size": Message(op=0x9, reqsz_lo=512),
    "write with a high size word": Message(op=OP_WRITE, reqsz_hi=1, reqsz_lo=512),
}


@pytest.mark.parametrize("what", IN_DOUBT)
def test_a_frame_in_doubt_is_answered_and_closed(data: DataSocket, what: str) -> None:
    assert data.exchange(IN_DOUBT[what]).status == EINVAL
    assert data.until_closed(PROMPT_S) == b""


def test_data_that_looks_like_requests_is_never_taken_for_one(data: DataSocket) -> None:
    """A refused write's data is drained to the byte: else whoever chooses a disk's data could command it."""
    before = os.urandom(BLOCK_BYTES)
    assert data.write(0, 0, before).status == 0
    smuggled = Message(op=OP_WRITE, reqsz_lo=BLOCK_BYTES).packed()
    payload = smuggled * (132 * KIB // len(smuggled))
    for lba in (0, BLOCKS - 1):
        refused = Message(op=OP_WRITE, lba_lo=lba, reqsz_lo=len(payload))
        assert data.exchange(refused, payload).status == EINVAL
    assert data.read(0, 0, BLOCK_BYTES)[1] == before


NOISE: dict[str, bytes] = {
    "random": random.Random(0x15018).randbytes(4 * KIB),
    "zeros": bytes(4 * KIB),
    "ones": b"\xff" * (4 * KIB),
    "text": (b"GET / HTTP/1.1\r\nHost: nsu\r\n\r\n" * 200)[: 4 * KIB],
}


@pytest.mark.parametrize("noise", NOISE)
def test_four_kib_of_noise_is_closed_wherever_it_comes(server: ServerUnderTest, session: Session, noise: str) -> None:
    ends: dict[str, Wire] = {
        "configuration socket before login": greeted(server),
        "data socket before login": stranger(session),
        "data socket after login": session.open_data(),
        "configuration socket after login": session.config,  # the last: it takes the data sockets along
    }
    try:
        for wire in ends.values():
            wire.send(NOISE[noise])
            refused_or_nothing(wire.until_closed(PROMPT_S))
    finally:
        for wire in ends.values():
            wire.close()
