"""Proved with a real driver process: orders are carried out, by the next owner if need be, and refusals say why."""

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ipc.control import ControlError
from protocol.ops import Op
from serverside.array_orders import ArrayOrders
from serverside.settings import ArraySettings, DriveSettings, ServerSettings
from serverside.storage import Storage
from tests.serverside.redundancy.rig import patterned
from tests.serverside.rig import host, unit

SIZE = 2 << 20


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    """A raid5 of three drives with its driver, and a jbod."""

    def drives(*names: str) -> tuple[DriveSettings, ...]:
        return tuple(DriveSettings(tmp_path / name, SIZE) for name in names)

    arrays = (ArraySettings("unit0", "raid5", drives("a", "b", "c")), ArraySettings("plain", "jbod", drives("d")))
    hosts = (host("h", units=[unit("u", 2048)]),)
    made = Storage(ServerSettings("box1", tmp_path / "state", 0, ("127.0.0.1",), False, arrays, hosts), 1)
    made.start_drivers()
    yield made
    made.close()
    for place in made.places.values():
        place.channel.close()


def wait_for(storage: Storage, holds: Callable[[], bool]) -> None:
    until_s = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < until_s, storage.describe_arrays()
        storage.mind_drivers()
        time.sleep(0.005)


def ask(storage: Storage, op: int, data: bytearray) -> None:
    def alive() -> bool:
        storage.mind_drivers()
        return True

    door = storage.doors(0, alive)["unit0"]
    assert door.execute(0, op, 0, len(data) // 512, False, memoryview(data)) == (0, "")


def states(storage: Storage) -> list[str]:
    return [drive["state"] for drive in storage.describe_arrays()[0]["drives"]]


def counters(storage: Storage) -> dict[str, Any]:
    found = storage.describe_arrays()[0]["redundancy"]
    assert isinstance(found, dict)
    return found


def test_a_replaced_drive_is_rebuilt_on_the_new_one(storage: Storage, tmp_path: Path) -> None:
    content = bytearray(patterned(131072, 1))
    ask(storage, Op.WRITE, content)
    new = tmp_path / "new"
    new.write_bytes(bytes(SIZE))
    answer = ArrayOrders(storage).replace({"array": "unit0", "old": str(tmp_path / "b"), "new": str(new)})
    assert answer == {"array": "unit0", "place": 1, "new": str(new)}
    wait_for(storage, lambda: storage.describe_arrays()[0]["drives"][1]["name"] == str(new))
    wait_for(storage, lambda: states(storage) == ["good", "good", "good", "spare or not used"])
    back = bytearray(len(content))
    ask(storage, Op.READ, back)
    assert back == content
    ArrayOrders(storage).scrub({"array": "unit0"})
    wait_for(storage, lambda: counters(storage)["scrubs"] == 1)
    assert counters(storage)["mismatches"] == 0


def test_a_drive_is_put_out_by_its_place_and_users_go_on(storage: Storage) -> None:
    ArrayOrders(storage).replace({"array": "unit0", "old": "0"})
    wait_for(storage, lambda: states(storage) == ["out", "good", "good"])
    content = bytearray(patterned(65536, 2))
    ask(storage, Op.WRITE, content)
    back = bytearray(len(content))
    ask(storage, Op.READ, back)
    assert back == content
    with pytest.raises(ControlError, match="place 1 can't be taken out now: raid5 does not survive it with these out"):
        ArrayOrders(storage).replace({"array": "unit0", "old": "1"})


def test_a_drive_that_was_put_out_can_be_rebuilt_where_it_was(storage: Storage, tmp_path: Path) -> None:
    ArrayOrders(storage).scrub({"array": "unit0"})  # its label is newer then than what the server read at its start
    wait_for(storage, lambda: counters(storage)["scrubs"] == 1)
    ArrayOrders(storage).replace({"array": "unit0", "old": "0"})
    wait_for(storage, lambda: states(storage) == ["out", "good", "good"])
    content = bytearray(patterned(65536, 2))
    ask(storage, Op.WRITE, content)
    again = {"array": "unit0", "old": "0", "new": str(tmp_path / "a")}
    with pytest.raises(ControlError, match="not blank"):
        ArrayOrders(storage).replace(again)
    ArrayOrders(storage).replace({**again, "force": True})
    wait_for(storage, lambda: states(storage) == ["good", "good", "good"])
    ArrayOrders(storage).replace({"array": "unit0", "old": "1"})
    wait_for(storage, lambda: states(storage) == ["good", "out", "good"])
    back = bytearray(len(content))
    ask(storage, Op.READ, back)
    assert back == content


def test_content_is_written_over_with_force_alone(storage: Storage, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.write_bytes(b"precious" * (SIZE // 8))
    order = {"array": "unit0", "old": "2", "new": str(full)}
    with pytest.raises(ControlError, match=r"not blank.*--force"):
        ArrayOrders(storage).replace(order)
    assert full.read_bytes() == b"precious" * (SIZE // 8)
    assert states(storage) == ["good", "good", "good"]
    ArrayOrders(storage).replace({**order, "force": True})
    wait_for(storage, lambda: storage.describe_arrays()[0]["drives"][2]["name"] == str(full))
    wait_for(storage, lambda: states(storage)[:3] == ["good", "good", "good"])


@pytest.mark.parametrize(
    ("order", "sentence"),
    [
        ({"array": "none", "old": "0"}, "there is no array none; there are: unit0, plain"),
        ({"array": "plain", "old": "0"}, "array plain is jbod: it keeps nothing twice"),
        ({"array": "unit0", "old": "7"}, "has no drive 7 at any place"),
        ({"array": "unit0", "old": "0", "new": "/nowhere"}, "drive /nowhere can't be opened"),
    ],
)
def test_what_cannot_be_done_is_said(storage: Storage, order: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ControlError, match=sentence):
        ArrayOrders(storage).replace(order)
    assert states(storage) == ["good", "good", "good"]


def test_too_many_orders_are_refused_and_hold_nobody_up(storage: Storage) -> None:
    child = storage.places["unit0"].child
    assert child is not None

    def flood() -> None:
        for _ in range(100_000):
            ArrayOrders(storage).scrub({"array": "unit0"})

    child.signal(signal.SIGSTOP)
    try:
        with pytest.raises(ControlError, match="takes no more orders now"):
            flood()
    finally:
        child.signal(signal.SIGCONT)


def test_a_drive_that_is_too_small_is_not_taken(storage: Storage, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.write_bytes(bytes(SIZE // 2))
    with pytest.raises(ControlError, match=f"has {SIZE // 2} bytes; array unit0 needs"):
        ArrayOrders(storage).replace({"array": "unit0", "old": "0", "new": str(small)})
