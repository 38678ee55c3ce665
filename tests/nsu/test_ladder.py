"""Proves that a request's way is told as Figures 5 and 6 draw it: what was measured, in order, in 80 columns."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostside import open_disk
from ipc.control import ControlError, ControlServer
from ipc.loop import Loop
from nsu.ladder import READ, WRITE, NotFollowedError, follow, ladder
from tests.harness import World

HOST_STAGES = ("1H", "2H", "3H", "4H", "5H", "6H", "7H")
SERVER_STAGES = ("2S", "3S", "4S", "5S", "6S")


def found(op: str, stamps: dict[str, int], **others: int) -> dict[str, Any]:
    return {"op": op, "path": 3, "offset_bytes": 4096, "length_bytes": 512, "status": 0, "stamps": stamps} | others


def numbers(text: str) -> list[tuple[str, str]]:
    """(message, time) of each line that has a message."""
    rows = (line.split() for line in text.splitlines()[2:])
    return [(row[1], row[0]) for row in rows if row[1][:1].isdigit()]


def test_a_read_is_told_in_the_order_of_figure_5() -> None:
    stamps = {stage: 1_000_000 + 1500 * index for index, stage in enumerate(HOST_STAGES)}
    stamps |= {stage: 2500 * index for index, stage in enumerate(SERVER_STAGES)}
    text = ladder(found("read", stamps))
    assert text.splitlines()[0] == "Figure 5, read: 512 bytes at byte 4096, path 3"
    assert numbers(text) == [
        *[("1H", "0.0"), ("2H", "1.5"), ("3H", "3.0")],
        *[("2S", "+0.0"), ("3S", "+2.5"), ("4S", "+5.0"), ("5S", "+7.5"), ("6S", "+10.0")],
        *[("4H", "4.5"), ("5H", "6.0"), ("6H", "7.5"), ("7H", "9.0")],
    ]
    assert [message.number for message in READ] == [number for number, _ in numbers(text)]


def test_what_was_not_measured_has_no_time() -> None:
    text = ladder(found("write", {"1H": 5000, "7H": 9000}))
    assert text.startswith("Figure 6, write: ")
    assert dict(numbers(text)) == {message.number: "·" for message in WRITE} | {"1H": "0.0", "7H": "4.0"}
    assert text.endswith("This server speaks version 0x01, which has no place for its times.")


def test_a_failed_request_says_so() -> None:
    assert "It failed: Input/output error." in ladder(found("read", {"1H": 1}, status=5))
    assert "failed" not in ladder(found("read", {"1H": 1}))


@given(
    op=st.sampled_from(["read", "write"]),
    stamps=st.dictionaries(st.sampled_from(HOST_STAGES + SERVER_STAGES), st.integers(1, 10**11)),
    others=st.fixed_dictionaries(
        {
            "offset_bytes": st.integers(0, 2**63 - 1),
            "length_bytes": st.integers(0, 65536),
            "path": st.integers(0, 255),
            "status": st.sampled_from([0, 5, 28, 116]),
        }
    ),
)
def test_it_fits_80_columns_whatever_was_measured(op: str, stamps: dict[str, int], others: dict[str, int]) -> None:
    assert max(map(len, ladder(found(op, stamps, **others)).splitlines())) <= 80


# --- a real disk ---


@pytest.mark.system
def test_an_idle_disk_is_read_by_ourselves(world: World) -> None:
    followed = follow(world.machine.state, "unit_1", "read", 10.0)
    assert (followed["op"], followed["status"]) == ("read", 0)
    assert followed["stamps"].keys() >= {*HOST_STAGES, *SERVER_STAGES}
    times = [followed["stamps"][stage] for stage in ("1H", "2H", "3H", "4H", "5H", "7H")]
    assert times == sorted(times)


@pytest.mark.system
def test_a_write_is_waited_for(world: World) -> None:
    over = threading.Event()

    def write() -> None:
        with open_disk(at=world.at("unit_1")) as disk:
            while not over.wait(0.02):
                disk.pwrite(bytes(8192), 65536)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        followed = follow(world.machine.state, "unit_1", "write", 10.0)
    finally:
        over.set()
        writer.join()
    assert (followed["op"], followed["offset_bytes"], followed["length_bytes"]) == ("write", 65536, 8192)


@pytest.mark.system
def test_no_write_comes_by_itself(world: World) -> None:
    began_s = time.monotonic()
    with pytest.raises(NotFollowedError, match=r"no write of disk unit_2 was done within 0.3 s"):
        follow(world.machine.state, "unit_2", "write", 0.3)
    assert time.monotonic() - began_s < 5


@pytest.mark.system
def test_without_a_path_it_is_said_at_once(tmp_path: Path) -> None:
    disks = {"disks": [{"name": "unit_1", "shown": True, "server": "box1", "at": "/s", "control": "/c"}]}
    trouble = "connecting to 10.1.1.1:10001: Connection refused"
    servers = {"servers": [{"name": "box1", "paths_up": 0, "trouble": trouble}]}
    loop = Loop()
    control = ControlServer(loop, tmp_path / "host.sock", {"disks": lambda _: disks, "status": lambda _: servers})
    answering = threading.Thread(target=loop.run)
    loop.call_later(5.0, loop.stop)
    answering.start()
    try:
        with pytest.raises(NotFollowedError, match=f"no path to box1 is up now, so there is nothing.*: {trouble}"):
            follow(tmp_path, "unit_1", "read", 30.0)
    finally:
        loop.enqueue(loop.stop)
        answering.join()
        control.close()
        loop.close()


@pytest.mark.system
def test_an_unknown_disk_is_told_with_the_known_ones(world: World) -> None:
    with pytest.raises(NotFollowedError, match="there is no disk unit_9; this machine has: unit_1, unit_2"):
        follow(world.machine.state, "unit_9", "read", 1.0)


def test_without_a_host_role_nobody_answers(tmp_path: Path) -> None:
    with pytest.raises(ControlError, match="no process answers"):
        follow(tmp_path, "unit_1", "read", 1.0)
