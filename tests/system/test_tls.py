"""Proves TLS from end to end: disk I/O over it, lost paths that come back, nothing readable on the wire, and the
floors of both sides against hosts and servers of the other kind.
"""

import random
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from hostside import open_disk
from hostside.config_client import ConfigClient
from hostside.settings import ServerEntry
from ipc.loop import Loop
from ipc.tls import TlsFiles
from protocol.events import Event, Granted
from tests.harness import World, spawn_world
from tests.harness.tls import authority, tls_files

pytestmark = pytest.mark.system

SIZE_BYTES = 8 << 20
PATTERN = b"what nobody on the way shall read, "


def test_a_disk_is_right_over_tls_while_agents_and_srws_are_killed() -> None:
    dice = random.Random(8)
    with spawn_world(units={"unit_1": SIZE_BYTES // 512}, tls=True) as world:
        machine = world.machine
        assert [session["tls"] for session in machine.status()["server"]["sessions"]] == [True]
        content = bytearray(SIZE_BYTES)
        with open_disk("unit_1", state_dir=machine.state) as disk:
            for turn in range(24):
                size, at = 512 * dice.randrange(1, 1500), 512 * dice.randrange(0, 14000)
                data = dice.randbytes(size)
                disk.pwrite(data, at)
                content[at : at + size] = data
                if turn in (6, 12):
                    machine.kill_process("nsu: agent")
                if turn in (9, 15):
                    machine.kill_process("nsu: srw")
                assert disk.pread(size, at) == data
            assert disk.pread(SIZE_BYTES, 0) == content
        machine.wait_paths(world.paths)


@pytest.mark.parametrize("tls", [False, True])
def test_what_crosses_the_wire_can_be_read_in_clear_and_not_under_tls(*, tls: bool) -> None:
    data = (PATTERN * (1 << 15))[: 1 << 20]
    with sniffing() as packets, spawn_world(units={"secret_plans": 4096}, tls=tls, paths=2) as world:
        with open_disk("secret_plans", state_dir=world.machine.state) as disk:
            disk.pwrite(data, 0)
            assert disk.pread(len(data), 0) == data
        ports = ports_of(world)
    seen = b"".join(packet for packet in packets if ports & ports_in(packet))
    assert len(seen) > 2 * len(data)
    assert [words in seen for words in (PATTERN, b"secret_plans", b"host1")] == [not tls] * 3


def ports_of(world: World) -> set[int]:
    return {world.nsu.config_port, *(port for host in world.nsu.hosts for _, port, _ in host.data_ports)}


def ports_in(packet: bytes) -> set[int]:
    """Give the TCP ports of an IPv4 packet; of another, none."""
    header_bytes = (packet[0] & 15) * 4 if packet else 0
    if not packet or packet[0] >> 4 != 4 or packet[9] != socket.IPPROTO_TCP:
        return set()
    return {int.from_bytes(packet[at : at + 2], "big") for at in (header_bytes, header_bytes + 2)}


@contextmanager
def sniffing() -> Iterator[list[bytes]]:
    """Hear what crosses the loopback device."""
    every_protocol, force_receive_buffer = 3, 33
    packets: list[bytes] = []
    try:
        sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(every_protocol))
    except PermissionError:
        pytest.skip("hearing packets takes CAP_NET_RAW")

    def hear() -> None:
        while not done.is_set():
            with suppress(TimeoutError):
                packets.append(sniffer.recv(1 << 17))

    done = threading.Event()
    with sniffer:
        sniffer.setsockopt(socket.SOL_SOCKET, force_receive_buffer, 64 << 20)
        sniffer.bind(("lo", every_protocol))
        sniffer.settimeout(0.2)
        thread = threading.Thread(target=hear)
        thread.start()
        try:
            yield packets
        finally:
            done.set()
            thread.join()


@contextmanager
def nsu_with(floor: str, *, has_tls: bool = True) -> Iterator[tuple[World, Path]]:
    """An NSU whose HOST host1 has that floor, and the authority of its certificates."""
    with spawn_world(units={"unit_1": 2048}, host_role=False, tls=True) as world:
        nsu = world.nsu
        nsu.hosts[0].lines = [f"TLS = {floor}"]
        nsu.lines = nsu.lines if has_tls else []
        if floor != "required":
            world.rewrite()
            world.machine.wait_for(lambda _: "changed nsu.conf is in force" in " ".join(world.machine.log().split()))
        yield world, world.machine.folder / "tls"


def outcome(world: World, tls: TlsFiles | None, *, name: str = "box1") -> str:
    """Come as host1 with the right secret; give "granted", or why not."""
    found: list[str] = []
    loop = Loop()
    secret_file = world.nsu.hosts[0].secret_file
    assert secret_file is not None
    secret = bytes.fromhex(secret_file.read_text())
    entry = ServerEntry(name, ("127.0.0.1",), world.nsu.config_port, "host1", secret, 1, None, (), tls=tls)

    def on_event(event: Event) -> None:
        if isinstance(event, Granted):
            found.append("granted")
            loop.stop()

    def on_lost(sentence: str) -> None:
        found.append(sentence)
        loop.stop()

    client = ConfigClient(loop, entry, on_event=on_event, on_lost=on_lost)
    client.connect()
    loop.call_later(8.0, loop.stop)
    loop.run()
    client.close()
    loop.close()
    return found[0]


def test_the_floor_of_a_host_is_insisted_upon_by_the_nsu(tmp_path: Path) -> None:
    with nsu_with("required") as (world, ca):
        right, other = tls_files(ca, "host1b", ["127.0.0.9"]), tls_files(ca, "host2")
        mine = TlsFiles(ca / "host1.crt", ca / "host1.key", ca / "ca.crt")
        strange = tls_files(authority(tmp_path / "strange"), "host1")
        late = tls_files(ca, "late", days=0)
        assert outcome(world, mine) == "granted"
        assert "must come by TLS" in outcome(world, None)
        assert "does not bear the name of this host" in outcome(world, other)
        assert "does not bear the name of this host" in outcome(world, right)
        trusting = TlsFiles(strange.cert, strange.key, mine.ca)
        assert "does not believe the authority of our certificate" in outcome(world, trusting)
        assert "our certificate has expired" in outcome(world, late)
        assert outcome(world, mine) == "granted"
        log = " ".join(world.machine.log().split())
        assert "HOST host1: This host must come by TLS" in log


def test_a_host_that_insists_on_tls_gives_nothing_away_in_clear(tmp_path: Path) -> None:
    with nsu_with("no") as (world, ca):
        mine = TlsFiles(ca / "host1.crt", ca / "host1.key", ca / "ca.crt")
        strange = tls_files(authority(tmp_path / "strange"), "host1")
        assert "must come in clear" in outcome(world, mine)
        assert outcome(world, None) == "granted"
        assert "its certificate names box1, and not box2 or 127.0.0.1" in outcome(world, mine, name="box2")
        doubting = TlsFiles(mine.cert, mine.key, strange.ca)
        assert "its certificate is not accepted" in outcome(world, doubting)
    with nsu_with("allowed", has_tls=False) as (world, ca):
        mine = TlsFiles(ca / "host1.crt", ca / "host1.key", ca / "ca.crt")
        assert "it answers in clear, not by TLS" in outcome(world, mine)
