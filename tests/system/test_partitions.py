"""Proves on running machines that partitions are grown, moved, shared and refused without harm to bystanders."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hostside import open_disk
from tests.harness.block_devices import spawn_block_devices
from tests.harness.file_systems import check_file_system, make_file_system, mounted
from tests.harness.site import DATA_BLOCKS, Site, spawn_site
from tests.hostside.frontends.file_server import NEEDS_LOOP
from tests.programs import needs, run

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

MIB = 1 << 20
FIO_S = 4
CHANGE_AFTER_S = 1.0
"""fio is at work by then."""


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with spawn_site() as site:
        yield site
        for machine in (site.box, *site.hosts.values()):
            assert "Traceback" not in machine.log(), machine.log()


@contextmanager
def fio(*options: str, folder: Path) -> Iterator[None]:
    """Have fio write and verify while the block runs, and to its end; no request of it may fail."""
    command = [
        *("fio", "--name=verify", "--rw=randrw", "--rwmixread=30", "--bsrange=4k-64k", "--size=6m", "--verify=crc32c"),
        *("--verify_fatal=1", "--verify_backlog=64", "--time_based", f"--runtime={FIO_S}", "--output-format=json"),
    ]
    process = subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder
    )
    try:
        time.sleep(CHANGE_AFTER_S)
        assert process.poll() is None, "fio has ended before anything was changed"
        yield
        told, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, told
    (job,) = json.loads(told[told.index("{") :])["jobs"]
    assert job["error"] == 0
    assert job["write"]["total_ios"] > 10


@contextmanager
def fio_on_both(site: Site, folder: Path) -> Iterator[None]:
    with fio("--ioengine=nbd", f"--uri={site.uri('strong', 'data')}", "--iodepth=8", folder=folder):
        with fio("--ioengine=nbd", f"--uri={site.uri('plain', 'data')}", "--iodepth=4", folder=folder):
            yield


def wait_size(site: Site, host: str, blocks: int) -> None:
    site.hosts[host].wait_for(lambda status: status["host"]["disks"][0]["size_bytes"] == blocks * 512)
    site.hosts[host].wait_paths(2)


@needs("fio")
@pytest.mark.parametrize(("host", "other"), [("plain", "strong"), ("strong", "plain")])
def test_growing_interrupts_no_io_and_the_other_host_notices_nothing(
    site: Site, host: str, other: str, tmp_path: Path
) -> None:
    before, theirs = site.session_of(host)[0], site.session_of(other)
    with fio_on_both(site, tmp_path):
        answer = site.done("partition", "resize", f"{host}/data", "+2MiB", "--yes")
        assert answer["in_force"]
        assert [(each["host"], each["how"]) for each in answer["plan"]["disturbed"]] == [
            (host, "told" if host == "strong" else "cut off")
        ]
        wait_size(site, host, DATA_BLOCKS + 4096)
    assert site.session_of(other) == theirs, "session and SRWs are those from before"
    after = site.session_of(host)[0]
    assert (after == before) == (host == "strong"), "0x02 is told, 0x01 reruns the dialogue"


@needs("fio")
@NEEDS_LOOP
@needs("mkfs.ext4")
def test_a_mounted_ext4_grows_while_fio_writes(tmp_path: Path) -> None:
    with spawn_block_devices({"unit_1": 48 << 11, "spare": 64 << 11}) as world:
        device = world.at("unit_1")
        make_file_system("ext4", device)
        with mounted(device) as folder:
            small = os.statvfs(folder).f_blocks
            with fio("--ioengine=psync", f"--directory={folder}", "--fsync=16", folder=tmp_path):
                grow(world.machine.conf)
                world.machine.wait_for(lambda status: status["host"]["disks"][0]["size_bytes"] == 112 * MIB)
                if may_resize_online():
                    run("resize2fs", str(device.resolve()))
        if not may_resize_online():
            run("e2fsck", "-fp", str(device.resolve()))
            run("resize2fs", str(device.resolve()))
        with mounted(device) as folder:
            assert os.statvfs(folder).f_blocks > 2 * small
            (folder / "large").write_bytes(os.urandom(60 * MIB))
        check_file_system("ext4", device)


def may_resize_online() -> bool:
    """Whether the kernel lets us, which a container's root often may not; a guest does in test_kernel_client.py."""
    cap_sys_resource = 24
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff")]
    return bool(int(line.split()[1], 16) >> cap_sys_resource & 1)


def grow(conf: Path) -> None:
    """By 64 MiB, which another partition gives up for it."""
    run(sys.executable, "-m", "nsu", "partition", "delete", "spare", "--yes", "--force", "-c", str(conf))
    run(sys.executable, "-m", "nsu", "partition", "resize", "unit_1", "+64MiB", "-c", str(conf))


def test_a_partition_moves_to_another_host_with_what_is_on_it(site: Site) -> None:
    site.done("partition", "create", "moving", "--size", "1MiB", "--read-write", "strong")
    uuid, generation = identity_of(site, "strong", "moving")
    attach(site, "strong", "moving")
    with open_disk(at=site.at("strong", "moving")) as disk:
        disk.pwrite(b"kept" * 1024, 4096)
        disk.flush()
    site.box.wait_for(lambda status: "moving" in attached(status, "strong"))
    refused = site.nsu("partition", "chown", "moving", "plain", "--yes")
    assert refused.returncode == 1
    assert "strong/moving is in use by strong, and would be taken away" in " ".join(refused.stderr.split())
    assert site.nsu("detach", "moving", on=site.hosts["strong"]).returncode == 0
    site.box.wait_for(lambda status: "moving" not in attached(status, "strong"))
    site.done("partition", "chown", "moving", "plain", "--yes")
    now = identity_of(site, "plain", "moving")
    assert now[0] == uuid, "it is the same partition"
    assert now[1] > generation, "and no request of before is meant for it"
    site.hosts["plain"].wait_paths(2)
    attach(site, "plain", "moving")
    with open_disk(at=site.at("plain", "moving")) as disk:
        assert disk.pread(4096, 4096) == b"kept" * 1024
        assert disk.pread(4096, 0) == bytes(4096), "what was never written are zeros"
    assert site.nsu("detach", "moving", on=site.hosts["plain"]).returncode == 0
    site.done("partition", "delete", "moving", "--yes", "--force")


def test_the_next_owner_of_the_blocks_sees_nothing_of_the_last_one(site: Site) -> None:
    """Even under the same name, in the same place: zero before access (Section III)."""
    where = []
    for content in (b"secret" * 512, b""):
        site.done("partition", "create", "again", "--size", "1MiB", "--read-write", "strong")
        where.append(next(each["lba"] for each in units_of(site, "strong") if each["name"] == "again"))
        attach(site, "strong", "again")
        with open_disk(at=site.at("strong", "again")) as disk:
            assert disk.pread(65536, 0) == bytes(65536)
            if content:
                disk.pwrite(content, 0)
                disk.flush()
        assert site.nsu("detach", "again", on=site.hosts["strong"]).returncode == 0
        site.box.wait_for(lambda status: "again" not in attached(status, "strong"))
        site.done("partition", "delete", "again", "--yes")
    assert where[0] == where[1]


def test_one_writes_and_the_other_reads(site: Site) -> None:
    site.done(
        "partition", "create", "both", "--size", "1MiB", "--read-write", "strong", "--read-only", "plain", "--yes"
    )
    twice = site.nsu("partition", "access", "both", "read-write", "--host", "plain")
    assert twice.returncode == 1
    assert "only one host may write" in " ".join(twice.stderr.split())
    assert identity_of(site, "strong", "both")[0] == identity_of(site, "plain", "both")[0]
    answer = site.done("partition", "access", "both", "read-write", "--host", "plain", "--shared-write", "--yes")
    assert any("file system on it will be destroyed" in each for each in answer["plan"]["warnings"])
    site.done("partition", "delete", "both", "--yes", "--force")


def test_a_bad_file_changes_nothing_and_everybody_is_told_where(site: Site) -> None:
    good, before = site.box.conf.read_text(), site.session_of("strong")
    line = good.count("\n") + 2
    site.box.conf.write_text(good + "HOST nobody\n  COLOUR = red\n")
    site.box.wait_for(lambda status: status["server"]["conf"]["errors"])
    where = f"nsu.conf:{line}: COLOUR"
    assert where in site.box.log()
    assert where in " ".join(json.loads(site.nsu("status", "--json").stdout)["supervisor"]["warnings"])
    assert site.session_of("strong") == before
    assert site.nsu("rollback", "--yes").returncode == 0
    assert site.box.conf.read_text() == good
    assert site.session_of("strong") == before


def attach(site: Site, host: str, name: str) -> None:
    """Attach a partition that was made since the host's start; 0x01 by its number, which its DISK block says."""
    machine = site.hosts[host]
    if host == "plain":
        number = next(each["number"] for each in units_of(site, host) if each["name"] == name)
        text = machine.conf.read_text()
        if f"DISK {name}" not in text:
            machine.conf.write_text(f"{text}  DISK {name}\n    AT = {site.at(host, name)}\n    NUMBER = {number}\n")
    result = site.nsu("attach", name, "--at", str(site.at(host, name)), on=machine)
    assert result.returncode == 0, result.stderr


def attached(status: dict[str, Any], host: str) -> list[str]:
    """The units that a host says it uses, a second or two late; all that there may be until it has said so."""
    (session,) = [each for each in status["server"]["sessions"] if each["host"] == host]
    names: list[str] | None = session["attached"]
    return ["moving", "again"] if names is None else names


def units_of(site: Site, host: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = next(each["units"] for each in site.server()["hosts"] if each["name"] == host)
    return found


def identity_of(site: Site, host: str, name: str) -> tuple[str, int]:
    """(uuid, generation), as the host is told"""
    unit = next(each for each in units_of(site, host) if each["name"] == name)
    return str(unit["uuid"]), int(str(unit["generation"]))
