"""Proved with real processes and the rule's own times: a drive as good as dead is put out, with its reason.

The rule itself is proved in tests/serverside/redundancy/test_slowness.py; this takes two minutes, most of them waiting.
"""

import threading
import time
from pathlib import Path

import pytest

from hostside import open_disk
from nsu.arrays import array_lines, arrays_of
from tests.harness import Machine, spawn_world
from tests.harness.slow_drive import SlowDrive
from tests.harness.world import World
from tests.hostside.frontends.file_server import NEEDS_FUSE

pytestmark = [pytest.mark.system, pytest.mark.soak, NEEDS_FUSE]

MIB = 1 << 20
SLOW_S = 1.2
PUT_OUT_MOST_S = 240.0


class Writer(threading.Thread):
    """Writes one block after the other, and remembers what is acknowledged."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.at = world.at("unit_1")
        self.enough = threading.Event()
        self.written: dict[int, bytes] = {}

    def run(self) -> None:
        with open_disk(at=self.at) as disk:
            number = 0
            while not self.enough.is_set():
                number += 1
                block, data = number * 37 % 512, number.to_bytes(8, "little") * 512
                disk.pwrite(data, block * 4096)
                self.written[block] = data


def test_a_drive_as_good_as_dead_is_put_out(tmp_path: Path) -> None:
    with SlowDrive(tmp_path, 16 * MIB) as drive:

        def prepare(machine: Machine) -> None:
            (machine.folder / "drive1.img").symlink_to(drive.path)

        with spawn_world(units={"unit_1": 4096}, level="raid5", drives=3, prepare=prepare) as world:
            state_dir = world.machine.state
            world.machine.wait_for(lambda _: all(d["state"] == "good" for d in arrays_of(state_dir)[0]["drives"]))
            writer = Writer(world)
            writer.start()
            try:
                time.sleep(1)
                drive.slow_down(SLOW_S)
                began_s = time.monotonic()
                world.machine.wait_for(lambda _: arrays_of(state_dir)[0]["drives"][1]["slow_s"] > 0, PUT_OUT_MOST_S)
                print("\n".join(array_lines(arrays_of(state_dir))))
                world.machine.wait_for(lambda _: arrays_of(state_dir)[0]["drives"][1]["state"] == "out", PUT_OUT_MOST_S)
                took_s = time.monotonic() - began_s
                time.sleep(1)
            finally:
                writer.enough.set()
                writer.join(60)
            print("\n".join(array_lines(arrays_of(state_dir))))
            print(f"put out {took_s:.0f} s after it became slow; {len(writer.written)} blocks were written meanwhile")
            assert arrays_of(state_dir)[0]["drives"][1]["why_out"].startswith("it is slow: ")
            assert took_s >= 60
            with open_disk(at=world.at("unit_1")) as disk:
                for block, data in writer.written.items():
                    assert disk.pread(4096, block * 4096) == data
