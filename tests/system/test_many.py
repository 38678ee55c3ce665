"""Several NSUs and several hosts at once: each host uses both servers, and one partition is shared by two hosts."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from hostside import open_disk
from tests.harness import Disk, Host, Machine, Nsu, Server, Unit, conf_text, free_ports, write_secret

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

BLOCKS = 8192


class Site:
    """Two servers (box1, box2) and two hosts (host1, host2), each a machine of its own."""

    def __init__(self, stack: ExitStack) -> None:
        self.servers = [stack.enter_context(Machine()) for _ in range(2)]
        self.hosts = [stack.enter_context(Machine()) for _ in range(2)]
        self.ports = free_ports(4)
        self.secrets = [write_secret(machine.folder / "key") for machine in self.hosts]

    def start(self) -> None:
        for number, machine in enumerate(self.servers):
            machine.start(conf_text(f"box{number + 1}", machine.state, self.nsu(number)))
        for number, machine in enumerate(self.hosts):
            blocks = [self.server_block(number, box) for box in range(2)]
            machine.start(conf_text(f"host{number + 1}", machine.state, *blocks))
        for machine in self.hosts:
            machine.wait_paths(2)

    def nsu(self, box: int) -> Nsu:
        """Give the server role: `ownB` is one host's, `sharedB` both hosts', read-only for host2."""
        port, data_port = self.ports[2 * box : 2 * box + 2]
        hosts = []
        for number in range(2):
            own = Unit(f"own{box}", "unit0", number * BLOCKS, (number + 1) * BLOCKS - 1)
            access = "read-only" if number else "read-write"
            shared = Unit(f"shared{box}", "unit0", 2 * BLOCKS, 3 * BLOCKS - 1, access)
            hosts.append(
                Host(f"host{number + 1}", [own, shared], [("127.0.0.1", data_port, 4)], (), self.secrets[number])
            )
        drives = [(self.servers[box].folder / "drive0.img", "16MiB")]
        return Nsu(f"box{box + 1}", port, {"unit0": ("jbod", drives)}, hosts)

    def server_block(self, host: int, box: int) -> Server:
        folder = self.hosts[host].folder
        disks = [Disk(name, folder / f"{name}.sock") for name in (f"own{box}", f"shared{box}")]
        secret = self.secrets[host]
        return Server(f"box{box + 1}", ["127.0.0.1"], self.ports[2 * box], disks, f"host{host + 1}", secret, 2)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with ExitStack() as stack:
        site = Site(stack)
        site.start()
        yield site


def test_each_host_sees_its_own_blocks_on_both_servers(site: Site) -> None:
    for host in range(2):
        for box in range(2):
            with open_disk(at=site.hosts[host].folder / f"own{box}.sock") as disk:
                disk.pwrite(f"{host}{box}".encode() * 256, 0)
    for host in range(2):
        for box in range(2):
            with open_disk(at=site.hosts[host].folder / f"own{box}.sock") as disk:
                assert disk.pread(512, 0) == f"{host}{box}".encode() * 256


def test_a_shared_partition_is_written_by_one_and_read_by_the_other(site: Site) -> None:
    with open_disk(at=site.hosts[0].folder / "shared0.sock") as writer:
        writer.pwrite(b"seen by both".ljust(512, b"."), 4096)
    with open_disk(at=site.hosts[1].folder / "shared0.sock") as reader:
        assert reader.read_only
        assert reader.pread(512, 4096) == b"seen by both".ljust(512, b".")


def test_one_server_gone_leaves_the_other_s_disks_working(site: Site) -> None:
    site.servers[1].kill()
    with open_disk(at=site.hosts[0].folder / "own0.sock") as disk:
        disk.pwrite(b"still here".ljust(512), 0)
        assert disk.pread(512, 0) == b"still here".ljust(512)
    site.servers[1].start()
    for machine in site.hosts:
        machine.wait_paths(2)
    with open_disk(at=site.hosts[1].folder / "own1.sock") as disk:
        assert disk.pread(512, 0) == b"11" * 256
