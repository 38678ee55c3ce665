"""Thousands of hostile connections in a row, to all ports: afterwards the server is what it was; others notice nothing.

What each connection says is one of the tricks below, and it leaves in one way or another without waiting. Where
tests/system/test_noise.py makes messages wrong, word by word, and looks for the answer, here it is the number that
counts, and that a host of version 0x02 goes on working on its disk all the while.
"""

import os
import random
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import pytest

from protocol.dialogue import HostDialogue
from protocol.limits import HEADER_BYTES
from protocol.path_login import v1_login_message, v2_login_message
from tests.chaos.verifier import Verifier
from tests.harness import World, spawn_world
from tests.system.test_noise import MEMORY_GROWTH_BYTES_MAX, memory_bytes, settled, state_of

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

BLOCKS = 16 << 20 >> 9
PATHS = 2
SLOWEST_S = 3.0
"""No request of the other host may take so long: a pause would mean that its paths or its session were disturbed."""
RESET = struct.pack("ii", 1, 0)
GREETING_MOST_S = 5.0

Trick = Callable[[socket.socket, random.Random], None]


def say_nothing(sock: socket.socket, luck: random.Random) -> None:
    del sock, luck


def say_rubbish(sock: socket.socket, luck: random.Random) -> None:
    sock.sendall(luck.randbytes(luck.choice((1, 511, 512, 513, 5_000, 70_000))))


def speak_another_language(sock: socket.socket, luck: random.Random) -> None:
    sock.sendall(
        luck.choice((b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"SSH-2.0-x\r\n"))
    )


def say_half_a_header(sock: socket.socket, luck: random.Random) -> None:
    sock.sendall(v1_login_message(luck.getrandbits(32))[: luck.randrange(HEADER_BYTES)])


def guess_a_challenge(sock: socket.socket, luck: random.Random) -> None:
    sock.sendall(v1_login_message(luck.getrandbits(32)))


def guess_a_token(sock: socket.socket, luck: random.Random) -> None:
    sock.sendall(v2_login_message(luck.randrange(4), luck.getrandbits(33), luck.randrange(4), luck.randbytes(32)))


def guess_a_secret(sock: socket.socket, luck: random.Random) -> None:
    """A login, whole and in order, by somebody who has the host's name and not its secret."""
    dialogue = HostDialogue(2, luck.choice(("host1", "nobody")), luck.randbytes(32), luck.randbytes(32))
    sock.settimeout(GREETING_MOST_S)
    while data := sock.recv(HEADER_BYTES):
        dialogue.receive(data)
        if answer := dialogue.data_to_send():
            sock.sendall(answer)
            return


CONFIG_TRICKS: list[Trick] = [
    say_nothing, say_rubbish, speak_another_language, say_half_a_header, guess_a_challenge, guess_a_secret,
]  # fmt: skip
DATA_TRICKS: list[Trick] = [
    say_nothing, say_rubbish, speak_another_language, say_half_a_header, guess_a_challenge, guess_a_token,
]  # fmt: skip


class Attacker:
    """Connects from all over 127/8, so that it is not slowed as one who fails too often from one address is."""

    def __init__(self, world: World, seed: int) -> None:
        self.luck = random.Random(seed)
        nsu = world.nsu
        config = [(address, nsu.config_port) for address in nsu.listen]
        data = [(address, port) for host in nsu.hosts for address, port, _ in host.data_ports]
        self.targets = [(address, trick) for address in config for trick in CONFIG_TRICKS]
        self.targets += [(address, trick) for address in data for trick in DATA_TRICKS]
        self.made: Counter[str] = Counter()

    def attack(self) -> None:
        """Make one connection, say something, and leave in one way or another."""
        luck = self.luck
        address, trick = luck.choice(self.targets)
        source = f"127.{luck.randrange(2, 255)}.{luck.randrange(255)}.{luck.randrange(1, 255)}"
        with socket.create_connection(address, timeout=10, source_address=(source, 0)) as sock:
            # Whom the server has cut off already, it has cut off.
            with suppress(BrokenPipeError, ConnectionResetError):
                trick(sock, luck)
            if luck.random() < 0.5:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.made[trick.__name__] += 1


def attack_and_compare(connections: int, seed: int) -> str:
    """Give what was done, in words."""
    with spawn_world(units={"unit_1": BLOCKS}, paths=PATHS) as world:
        (server,) = world.machine.pids("nsu: server")
        family, before = world.machine.processes(), state_of(server)
        attacker = Attacker(world, seed)
        first = connections // 10
        for _ in range(first):  # what a first time costs (imports, caches, arenas) is no leak
            attacker.attack()
        memory_before_bytes = memory_bytes(server)
        began_s = time.monotonic()
        with Verifier(world.at("unit_1"), BLOCKS, threads=1, seed=seed) as verifier:
            while attacker.made.total() < connections:
                attacker.attack()
            took_s = time.monotonic() - began_s
        assert settled(server, before, 7.0) == before
        grown_bytes = memory_bytes(server) - memory_before_bytes
        assert grown_bytes < MEMORY_GROWTH_BYTES_MAX
        assert world.machine.processes() == family, "somebody was replaced"
        assert verifier.reconnects == 0
        assert verifier.longest_s < SLOWEST_S
        assert "Traceback" not in world.machine.log()
    assert min(attacker.made[trick.__name__] for trick in (*CONFIG_TRICKS, *DATA_TRICKS)) > 0
    rate = (connections - first) / took_s
    return (
        f"{attacker.made.total()} hostile connections, {rate:.0f}/s: children {before.children} and descriptors "
        f" {before.descriptors} unchanged, memory +{grown_bytes >> 10} KiB; another host's "
        f"{verifier.requests} requests right, the slowest in {verifier.longest_s * 1000:.0f} ms"
    )


def test_three_thousand_hostile_connections_leave_no_trace() -> None:
    print(attack_and_compare(3_000, seed=1))


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_twenty_four_thousand_hostile_connections_leave_no_trace() -> None:
    print(attack_and_compare(24_000, seed=int.from_bytes(os.urandom(4))))
