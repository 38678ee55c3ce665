"""Real clients that nobody here wrote, on our disks: what went in comes out, at 1 and 8 paths, at every odd size."""

import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import World, spawn_world
from tests.programs import needs, run

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

MIB = 1 << 20
TWO_TIB_BLOCKS = 2 << 40 >> 9


@pytest.fixture(scope="module", params=[1, 8], ids=["1path", "8paths"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    units = {"plain": 64 * MIB // 512, "one": 1, "odd": 98_305, "huge": TWO_TIB_BLOCKS + 4096, "locked": 2048}
    with spawn_world(units=units, paths=request.param, read_only=["locked"], level="raid0", drives=3) as world:
        yield world


def make_file(path: Path, size_bytes: int) -> str:
    data = os.urandom(size_bytes)
    path.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


@needs("nbdinfo")
def test_nbdinfo_tells_what_the_server_does(world: World) -> None:
    told = run("nbdinfo", world.uri("plain"))
    assert f"export-size: {64 * MIB}" in told
    for flag in ("can_flush: true", "can_fua: true", "can_trim: true", "can_zero: true", "can_multi_conn: true"):
        assert flag in told
    assert "is_read_only: false" in told
    assert "is_read_only: true" in run("nbdinfo", world.uri("locked"))


@needs("nbdinfo")
@pytest.mark.parametrize(
    ("disk", "size"), [("one", 512), ("odd", 98_305 * 512), ("huge", (TWO_TIB_BLOCKS + 4096) * 512)]
)
def test_odd_sizes_are_told_exactly(world: World, disk: str, size: int) -> None:
    assert run("nbdinfo", "--size", world.uri(disk)).strip() == str(size)


@needs("nbdcopy")
@pytest.mark.parametrize(("disk", "size"), [("plain", 64 * MIB), ("one", 512), ("odd", 98_305 * 512)])
def test_nbdcopy_in_and_out(world: World, tmp_path: Path, disk: str, size: int) -> None:
    went_in = make_file(tmp_path / "in", size)
    run("nbdcopy", "--flush", str(tmp_path / "in"), world.uri(disk))
    run("nbdcopy", world.uri(disk), str(tmp_path / "out"))
    assert hashlib.sha256((tmp_path / "out").read_bytes()).hexdigest() == went_in


@needs("qemu-img")
def test_qemu_img_converts_and_compares(world: World, tmp_path: Path) -> None:
    make_file(tmp_path / "in", 64 * MIB)
    run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", str(tmp_path / "in"), world.uri("plain"))
    told = run("qemu-img", "compare", "-f", "raw", "-F", "raw", str(tmp_path / "in"), world.uri("plain"))
    assert "identical" in told


@needs("qemu-io")
@pytest.mark.parametrize(
    "commands",
    [
        ["write -P 0x5a 0 1M", "read -P 0x5a 0 1M", "write -z 64k 128k", "read -P 0 64k 128k", "read -P 0x5a 192k 64k"],
        [
            "write -P 1 4096 512",
            "read -P 1 4096 512",
            "discard 1M 1M",
            "flush",
            "write -f -P 7 3M 64k",
            "read -P 7 3M 64k",
        ],
    ],
    ids=["zeroes", "discard-flush-fua"],
)
def test_qemu_io_patterns(world: World, commands: list[str]) -> None:
    steps = [word for command in commands for word in ("-c", command)]
    told = run("qemu-io", "-f", "raw", *steps, world.uri("plain"))
    assert "Pattern verification failed" not in told


@needs("qemu-io")
def test_beyond_two_tebibytes_nothing_wraps(world: World) -> None:
    at = (2 << 40) + MIB
    write = [f"write -P 0xab {at} 128k", f"write -P 0x11 {MIB} 128k", f"read -P 0xab {at} 128k"]
    steps = [word for command in write for word in ("-c", command)]
    assert "verification failed" not in run("qemu-io", "-f", "raw", *steps, world.uri("huge"))


@needs("qemu-io")
def test_a_read_only_disk_refuses_a_write(world: World) -> None:
    refused = subprocess.run(
        ["qemu-io", "-f", "raw", "-c", "write -P 1 0 512", world.uri("locked")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode != 0 or "read-only" in (refused.stderr + refused.stdout).lower()


FIO = {
    "4k": ("plain", 0, 32 * MIB, "4k"),
    "mixed": ("plain", 0, 32 * MIB, "512-256k"),
    "one-block": ("one", 0, 512, "512"),
    "odd-end": ("odd", 98_305 * 512 - 4 * MIB - 512, 4 * MIB + 512, "512-64k"),
    "beyond-2TiB": ("huge", (2 << 40) - MIB, 8 * MIB, "512-128k"),
}
"""Case -> disk, where the load begins, its size, its block sizes."""


@needs("fio")
@pytest.mark.parametrize("case", FIO)
def test_fio_verifies(world: World, case: str) -> None:
    disk, offset, size, block_sizes = FIO[case]
    run(
        "fio", "--name=verify", "--ioengine=nbd", f"--uri={world.uri(disk)}", "--rw=randwrite",
        f"--bsrange={block_sizes}" if "-" in block_sizes else f"--bs={block_sizes}", "--blockalign=512",
        "--iodepth=32", f"--offset={offset}", f"--size={size}", "--verify=crc32c", "--verify_fatal=1",
        "--serialize_overlap=1", "--randrepeat=0",
    )  # fmt: skip
