"""The harness: both sides on localhost from a few parameters, real processes and sockets, always reaped.

    with Machine.start(server_conf(...)) as machine:
        machine.wait_ready()

A `Machine` is one `nsu run` with its own nsu.conf in its own folder. Ports are free ones of loopback, so many can run
at once. Folders are short (Unix socket paths have 107 bytes) and vanish with the machine.
"""

from tests.harness.conf import Disk, Host, Nsu, Server, Unit, conf_text, free_ports, write_secret
from tests.harness.machine import Machine
from tests.harness.world import ServerUnderTest, World, spawn_server, spawn_world

__all__ = [
    "Disk",
    "Host",
    "Machine",
    "Nsu",
    "Server",
    "ServerUnderTest",
    "Unit",
    "World",
    "conf_text",
    "free_ports",
    "spawn_server",
    "spawn_world",
    "write_secret",
]
