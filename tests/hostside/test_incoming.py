"""Proves: however answers are cut into receives, each byte of data ends in its slot, and each answer is told once."""

from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hostside.incoming
from hostside.incoming import Command, Incoming, Sent
from protocol.data import UnitLimits, host_data, server_data
from protocol.ops import Flag, Op

IDS = {"session": 1, "epoch": 2, "path": 3, "marker": 4}
SIZES = [512, 4096, 16384, 65536]
REFUSED_LBA = 1 << 30

ASKED = st.tuples(
    st.sampled_from([Op.READ, Op.READ, Op.WRITE, Op.FLUSH]),
    st.sampled_from(SIZES),
    st.booleans(),  # refused
    st.booleans(),  # with a CRC of the data
)


class World:
    """A host's and a server's machine, and between them the bytes of the answers."""

    def __init__(self) -> None:
        self.host = host_data(2, **IDS)
        self.server = server_data(2, **IDS, units=[UnitLimits(1 << 20, False, 1)])
        self.sent: deque[Sent] = deque()
        self.slots: list[bytearray] = []
        self.incoming = Incoming(self.host, self.sent, self.slot_of)

    def slot_of(self, command: Command) -> memoryview:
        return memoryview(self.slots[command[6]])

    def ask(self, op: Op, size: int, refused: bool, with_crc: bool) -> bytes:
        """Send one request; give the bytes of its answer."""
        slot = len(self.slots)
        self.slots.append(bytearray(size))
        flags = int(Flag.PAYLOAD_CRC) if with_crc and op == Op.READ else 0
        lba = REFUSED_LBA if refused else slot
        header = memoryview(bytearray(512))
        self.host.request(header, op, flags, 0, 1, lba, size, slot)
        self.sent.append((header, (slot, op, flags, 1, 0, 0, slot, size, lba, 1), 0, 0))
        request = self.server.next(header, 0, 512)
        assert request is not None
        answer = memoryview(bytearray(512))
        status, detail, sentence = request.refusal or (0, 0, "")
        self.server.answer(request, answer, status=status, detail=detail, sentence=sentence)
        return bytes(answer) + (data_of(slot, size) if op == Op.READ and not status else b"")


def data_of(slot: int, size: int) -> bytes:
    return bytes([slot % 251 + 1]) * size


@pytest.mark.parametrize("large_bytes", [512, 1 << 20], ids=["scattered", "by way of the buffer"])
@settings(max_examples=60)
@given(rounds=st.lists(st.lists(ASKED, min_size=1, max_size=20), min_size=1, max_size=3), seed=st.randoms())
def test_every_answer_ends_where_it_belongs(large_bytes: int, rounds: list, seed) -> None:  # type: ignore[no-untyped-def, type-arg]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hostside.incoming, "LARGE_BYTES", large_bytes)
        world = World()
        for asked in rounds:
            first = len(world.slots)
            wire = memoryview(b"".join([world.ask(*each) for each in asked]))
            told = []
            while wire:
                room = world.incoming.targets()
                count = min(len(wire), sum(map(len, room)), seed.choice([1, 511, 512, 513, 5000, 70000, 1 << 20]))
                at = 0
                for target in room:
                    size = min(len(target), count - at)
                    target[:size] = wire[at : at + size]
                    at += size
                wire = wire[count:]
                told += world.incoming.took(count)
            assert [command[0] for (_, command, _, _), _ in told] == list(range(first, len(world.slots)))
            for ((_, command, _, _), answer), (op, size, refused, with_crc) in zip(told, asked, strict=True):
                is_refused = refused and op != Op.FLUSH
                is_plain = op in (Op.READ, Op.WRITE) and not is_refused and not (with_crc and op == Op.READ)
                assert is_plain if answer is None else bool(answer.status) == is_refused
                if op == Op.READ and not is_refused:
                    assert world.slots[command[6]] == data_of(command[6], size)
            assert not world.sent


def test_large_reads_are_received_into_their_slots() -> None:
    """No byte of their data goes by way of the buffer, and one receive takes as many as have come."""
    world = World()
    wire = b"".join([world.ask(Op.READ, 65536, False, False) for _ in range(3)])
    targets = world.incoming.targets()
    assert [len(target) for target in targets] == [512, 65536] * 3
    assert [target.obj for target in targets[1::2]] == world.slots
    for target in targets:
        target[:], wire = wire[: len(target)], wire[len(target) :]
    assert [answer for _, answer in world.incoming.took(3 * 66048)] == [None, None, None]
