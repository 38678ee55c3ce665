"""A relay on the way that delays, cuts, doubles and falsifies: never wrong data, and the paths come back."""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from hostside import open_disk
from tests.chaos.relay import Harm
from tests.chaos.relayed import Relayed, spawn_relayed
from tests.chaos.verifier import Verifier
from tests.harness.netns import needs_networks

pytestmark = [pytest.mark.system, pytest.mark.timeout(120), needs_networks]

BLOCKS = 32 << 20 >> 9
SCRATCH = 4 << 20 >> 9
"""The blocks of single cases; the others are the verifier's."""
MIB = 1 << 20
BACK_WITHIN_S = 20.0
"""After the last harm: a path that was lost soon and often rests for 5 s at most."""

KINDS = {"delay": 4, "stall": 1, "dribble": 4, "flip": 2, "double": 2, "truncate": 1, "reset": 1}
HARM = Harm(3 * MIB, KINDS)
CONFIG_HARM = Harm(30_000, {"delay": 4, "dribble": 4, "truncate": 1, "reset": 1})
"""No flips where logins pass: after one that is refused a host rests for 5 s, as it should."""
ALL_CONFIG_HARM = Harm(30_000, {**CONFIG_HARM.kinds, "flip": 1, "double": 1, "stall": 1})

HEADER_BYTES = 512
PIECE_BYTES = 65_536
"""One constituent: its header and payload travel one behind the other."""
IN_HEADER, IN_PAYLOAD = 100, HEADER_BYTES + 1_000


PATHS_IN_STOCK = 12
"""Each case costs a path, and one that was lost soon rests."""

CASES = [
    (payload_crc, direction, kind, at_bytes)
    for payload_crc in (True, False)
    for direction in ("up", "down")
    for kind in ("flip", "double")
    for at_bytes in (IN_HEADER, IN_PAYLOAD)
    if payload_crc or kind == "flip"
]


HARMS_MAX = 3
"""On a busy machine a ping may come between, and have the harm fall where nobody looks any more."""


@pytest.fixture(scope="module")
def worlds() -> Iterator[dict[bool, Relayed]]:
    """Two worlds, with PAYLOAD_CRC and without."""
    with ExitStack() as stack:
        yield {
            payload_crc: stack.enter_context(
                spawn_relayed(
                    blocks=BLOCKS, paths=PATHS_IN_STOCK, lines=[f"PAYLOAD_CRC = {'yes' if payload_crc else 'no'}"]
                )
            )
            for payload_crc in (True, False)
        }


@pytest.mark.parametrize(("payload_crc", "direction", "kind", "at_bytes"), CASES)
def test_each_harm_at_its_place(
    worlds: dict[bool, Relayed], payload_crc: bool, direction: str, kind: str, at_bytes: int
) -> None:
    """A header has its CRC always. A payload that is falsified is found with PAYLOAD_CRC = yes, and only then."""
    relayed = worlds[payload_crc]
    if at_bytes == IN_PAYLOAD and not payload_crc:
        # What is left to TCP's 16-bit sum: one in 65,536 of the errors that the links' own checks have let through.
        data, found, gone = harmed(relayed, direction, kind, at_bytes)
        assert sum(a != b for a, b in zip(found, data, strict=True)) == 1
        assert not gone
        return
    for _ in range(HARMS_MAX):
        data, found, gone = harmed(relayed, direction, kind, at_bytes)
        assert found == data
        if gone:
            break
    assert len(gone) == 1, "the path should have been given up"


def harmed(relayed: Relayed, direction: str, kind: str, at_bytes: int) -> tuple[bytes, bytes, set[int]]:
    """Write and read with one harm; give what was written, what was read, and the agents that are gone."""
    agents = relayed.host.pids("nsu: agent")
    data = os.urandom(PIECE_BYTES)
    with open_disk(at=relayed.at) as disk:
        if direction == "down":
            disk.pwrite(data, 0)
        with relayed.relay.armed(direction, kind, at_bytes, doubled=slice(-HEADER_BYTES, None)):
            if direction == "up":
                disk.pwrite(data, 0)
            found = disk.pread(PIECE_BYTES, 0)
    return data, found, set(agents) - set(relayed.host.pids("nsu: agent"))


def test_a_write_that_comes_again_later_is_not_done_again(worlds: dict[bool, Relayed]) -> None:
    """A whole frame, right to the last bit and of the same path: only its number says that its time is over.

    Before the read goes by, one of the older writes to the same block does.
    """
    relayed = worlds[True]
    agents = relayed.host.pids("nsu: agent")
    frame_bytes = HEADER_BYTES + 4096
    with open_disk(at=relayed.at) as disk:
        for version in range(10 * PATHS_IN_STOCK):
            disk.pwrite(b"%04d" % version * 1024, 0)
        with relayed.relay.armed("up", "double", 0, doubled=slice(-3 * frame_bytes, -2 * frame_bytes)):
            found = disk.pread(4096, 0)
        assert found == disk.pread(4096, 0) == b"%04d" % version * 1024
    assert len(set(agents) - set(relayed.host.pids("nsu: agent"))) == 1


def live_through(relayed: Relayed, config_harm: Harm, seconds: float, seed: object) -> str:
    """Work under harm for so long, then without, till all paths are up; give what was done, in words."""
    others = relayed.pids()
    with Verifier(relayed.at, BLOCKS - SCRATCH, seed=seed, first_sector=SCRATCH) as verifier:
        with relayed.relay.harming(HARM, config_harm):
            until_s = time.monotonic() + seconds
            while time.monotonic() < until_s:
                time.sleep(0.1)
                verifier.check()
        back_s = relayed.host.wait_paths(relayed.paths, BACK_WITHIN_S)
    assert verifier.reconnects == 0, "a client of the disk lost its connection"
    assert relayed.pids() == others, "a process died that has no part in a path"
    assert "Traceback" not in relayed.log()
    return (
        f"seed {seed}: {verifier.requests} requests verified under {relayed.relay.told()}; 0 errors, longest request "
        f"{verifier.longest_s:.1f} s, all paths up {back_s:.1f} s after the last harm"
    )


def test_under_all_harms_together_there_is_never_wrong_data(worlds: dict[bool, Relayed]) -> None:
    told = live_through(worlds[True], CONFIG_HARM, 8.0, seed=1)
    print(told)
    assert all(kind in told for kind in KINDS), told


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_ten_minutes_of_harm() -> None:
    for seed in range(10):
        with spawn_relayed(blocks=BLOCKS, seed=seed, lines=["PAYLOAD_CRC = yes"]) as relayed:
            print(live_through(relayed, ALL_CONFIG_HARM, 60.0, seed))
