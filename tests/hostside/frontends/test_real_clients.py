"""Proves: clients nobody here wrote find the disk, copy, compare, check patterns and verify checksums over it."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from random import Random

import pytest

from hostside.driver.unit import UnitFlag
from tests.hostside.frontends.memory_driver import ALL, Faults
from tests.hostside.frontends.nbd_server import NbdServer, nbd_server
from tests.programs import needs
from tests.users import ONLY_ROOT, command_of, public_folder

MIB = 1 << 20
NOBODY, OURS, USER = 65_534, 54_002, 54_001
DEBIAN_PACKAGES = {"nbdinfo": "libnbd-bin", "nbdcopy": "libnbd-bin", "qemu-img": "qemu-utils", "qemu-io": "qemu-utils"}

pytestmark = pytest.mark.system


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NbdServer]:
    with nbd_server(tmp_path / "disk.sock") as server:
        yield server
        server.settle()
        assert server.stop() == 0


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """64 MiB with data, holes and an odd end."""
    at = tmp_path / "image"
    random = Random(7)
    with at.open("wb") as file:
        for offset in (0, 5 * MIB, 30 * MIB + 512, 63 * MIB):
            file.seek(offset)
            file.write(random.randbytes(MIB - 512))
        file.truncate(64 * MIB)
    return at


def run(program: str, *arguments: str, status: int = 0) -> str:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed (Debian: {DEBIAN_PACKAGES.get(program, program)})")
    ended = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == status, f"{program}: {ended.stdout}{ended.stderr}"
    return ended.stdout + ended.stderr


def digest(at: Path) -> str:
    return sha256(at.read_bytes()).hexdigest()


def test_nbdinfo_sees_what_the_unit_does(server: NbdServer) -> None:
    [export] = json.loads(run("nbdinfo", "--json", server.uri))["exports"]
    told = {key: export[key] for key in export if key.startswith(("can_", "is_", "block_size", "export-"))}
    assert told == {
        "export-name": "unit_1",
        "export-size": 64 * MIB,
        "is_rotational": False,
        "is_read_only": False,
        "can_cache": False,
        "can_df": True,
        "can_fast_zero": False,
        "can_flush": True,
        "can_fua": True,
        "can_multi_conn": True,
        "can_trim": True,
        "can_zero": True,
        "block_size_minimum": 512,
        "block_size_preferred": 4096,
        "block_size_maximum": 32 * MIB,
        **{key: told[key] for key in ("export-size-str",) if key in told},
    }


def test_nbdinfo_lists_the_disk_and_refuses_another(server: NbdServer) -> None:
    assert 'export="unit_1"' in run("nbdinfo", "--list", server.uri)
    said = run("nbdinfo", server.uri.replace("/unit_1", "/unit_2"), status=1)
    assert "No such file or directory" in said


@pytest.mark.parametrize("flags", [(), ("--connections=8", "--requests=64"), ("--request-size=33554432",)])
def test_nbdcopy_in_and_out(server: NbdServer, image: Path, tmp_path: Path, flags: tuple[str, ...]) -> None:
    back = tmp_path / "back"
    run("nbdcopy", *flags, "--flush", str(image), server.uri)
    run("nbdcopy", *flags, server.uri, str(back))
    assert digest(back) == digest(image)
    assert server.count("flushes") > 0


def test_qemu_img_converts_and_compares(server: NbdServer, image: Path) -> None:
    run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", str(image), server.uri)
    assert "identical" in run("qemu-img", "compare", "-f", "raw", "-F", "raw", str(image), server.uri)
    run("qemu-io", "-f", "raw", "-c", "write -P 0xee 7M 512", server.uri)
    assert "mismatch" in run("qemu-img", "compare", "-f", "raw", "-F", "raw", str(image), server.uri, status=1)


def test_qemu_io_patterns(server: NbdServer) -> None:
    commands = [
        "write -P 0x11 0 1M",
        "write -f -P 0x22 512 3584",
        "write -z 64k 64k",
        "write -z -u 1M 16M",
        "discard 32M 1M",
        "flush",
        "read -P 0x11 0 512",
        "read -P 0x22 512 3584",
        "read -P 0x11 4k 60k",
        "read -P 0 64k 64k",
        "read -P 0x11 128k 896k",
        "read -P 0 1M 16M",
    ]
    said = run("qemu-io", "-f", "raw", *(word for command in commands for word in ("-c", command)), server.uri)
    assert "failed" not in said
    assert server.count("flushes") > 0
    assert server.count("fuas") > 0


@pytest.mark.parametrize(("size", "depth"), [("4k", 32), ("64k", 16), ("512-256k", 8)])
def test_fio_verifies(server: NbdServer, tmp_path: Path, size: str, depth: int) -> None:
    run(
        "fio", "--name=verify", "--ioengine=nbd", f"--uri={server.uri}", "--rw=randrw", "--rwmixread=50",
        f"--bsrange={size}" if "-" in size else f"--bs={size}", "--bs_unaligned=0", f"--iodepth={depth}",
        "--size=32M", "--io_size=64M", "--verify=crc32c", "--verify_fatal=1", "--do_verify=1", "--runtime=4",
        f"--aux-path={tmp_path}",
    )  # fmt: skip


@pytest.mark.parametrize("blocks", [1, 12_345, (3 << 40) // 512 + 1])
def test_disks_of_one_block_of_odd_size_and_beyond_2_tib(tmp_path: Path, blocks: int) -> None:
    with nbd_server(tmp_path / "disk.sock", size=blocks * 512) as server:
        assert run("nbdinfo", "--size", server.uri).strip() == str(blocks * 512)
        last = (blocks - 1) * 512
        run("qemu-io", "-f", "raw", "-c", f"write -P 0x77 {last} 512", "-c", f"read -P 0x77 {last} 512", server.uri)


def test_a_read_only_disk_is_one_for_clients(tmp_path: Path) -> None:
    with nbd_server(tmp_path / "disk.sock", flags=ALL | UnitFlag.READ_ONLY) as server:
        [export] = json.loads(run("nbdinfo", "--json", server.uri))["exports"]
        assert export["is_read_only"] is True
        run("qemu-io", "-f", "raw", "-c", "write 0 512", server.uri, status=1)


def test_an_error_below_reaches_the_client(tmp_path: Path) -> None:
    faults = Faults(bad_bytes=range(MIB, MIB + 512), status=5, sentence="drive 2 of unit0 does not answer")
    with nbd_server(tmp_path / "disk.sock", faults=faults) as server:
        said = run("qemu-io", "-f", "raw", "-c", "read 1M 4k", "-c", "read 0 4k", server.uri, status=1)
        assert "read failed: Input/output error" in said
        assert "read 4096/4096 bytes at offset 0" in said


@ONLY_ROOT
@needs("nbdinfo")
@needs("qemu-io")
@pytest.mark.parametrize(
    ("mode", "owner", "welcome"),
    [
        (0o660, (-1, OURS), [(NOBODY, OURS), (USER, NOBODY, OURS)]),
        (0o600, (USER, -1), [(USER, NOBODY)]),
        (0o600, (-1, OURS), []),
        (0o666, (-1, -1), [(NOBODY, NOBODY)]),
    ],
    ids=["a group's", "a user's", "root's", "everybody's"],
)
def test_whose_it_is_uses_it_and_others_are_refused(
    mode: int, owner: tuple[int, int], welcome: list[tuple[int, ...]]
) -> None:
    strangers = [] if mode & 0o006 else [(NOBODY, NOBODY), (NOBODY, 0)]
    with public_folder() as folder, nbd_server(folder / "disk.sock", mode=mode, owner=owner) as server:
        for uid, *gids in welcome:
            assert "export-size: 67108864" in run(*command_of(uid, gids, "nbdinfo", server.uri))
            said = run(
                *command_of(uid, gids, "qemu-io", "-f", "raw", server.uri, "-c", "write -P 7 0 64k", "-c", "flush")
            )
            assert "wrote 65536/65536 bytes" in said
        for uid, *gids in strangers:
            assert "Permission denied" in run(*command_of(uid, gids, "nbdinfo", server.uri), status=1)
