"""PAYLOAD_CRC = yes: every payload travels with its CRC32C, and real clients get their data back."""

import os

import pytest

from hostside import open_disk
from tests.harness import spawn_world

pytestmark = [pytest.mark.system, pytest.mark.timeout(60)]

MIB = 1 << 20


def test_data_goes_in_and_out_with_payload_checksums() -> None:
    with spawn_world(units={"unit_1": 65_536}, lines=["PAYLOAD_CRC = yes"]) as world:
        data = os.urandom(8 * MIB)
        with open_disk(at=world.at("unit_1")) as disk:
            disk.pwrite(data, 4096)
            disk.pwrite(b"small".ljust(512), 0)
            assert disk.pread(8 * MIB, 4096) == data
            assert disk.pread(512, 0) == b"small".ljust(512)
        assert all(path["errors"] == 0 for path in world.machine.status()["host"]["servers"][0]["paths"])
