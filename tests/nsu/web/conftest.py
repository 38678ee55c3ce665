"""One machine with pages for all who look at it: raid5, a host that uses it, one that does not, a user of each role."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from nsu.web.passwords import Users
from nsu.web.roles import Role
from nsu.web.tokens import Tokens
from tests.harness import World, spawn_world
from tests.harness.conf import Host
from tests.nsu.web.client import Client

PASSWORD = "correct horse"


@dataclass
class Pages:
    """The machine, and who may use its pages."""

    world: World
    tokens: dict[Role, str]

    @property
    def port(self) -> int:
        assert self.world.web_port is not None
        return self.world.web_port

    def program(self, role: Role | None = Role.ADMINISTER) -> Client:
        """A program with a token of this role, or without one."""
        return Client(self.port, None if role is None else self.tokens[role])

    def person(self, role: Role = Role.ADMINISTER) -> Client:
        """A person who has logged in."""
        client = Client(self.port)
        assert client.log_in(role.word, PASSWORD).status == 303
        return client


@pytest.fixture(scope="package")
def pages() -> Iterator[Pages]:
    with spawn_world(units={"data": 40960, "logs": 8192}, level="raid5", drives=3, paths=2, web=True) as world:
        config_port = world.nsu.hosts[0].data_ports[0][1]
        world.nsu.hosts.append(
            Host("host2", [], [("127.0.0.1", config_port, 2)], secret_file=world.nsu.hosts[0].secret_file)
        )
        world.rewrite()
        tokens = {}
        for role in Role:
            Users(world.machine.state).put(role.word, PASSWORD, role)
            tokens[role] = Tokens(world.machine.state).create(f"test {role.word}", role)[1]
        world.machine.wait_for(lambda status: len(status["server"]["hosts"]) == 2)
        world.machine.wait_for(lambda status: all(one["state"] == "ready" for one in status["supervisor"]["processes"]))
        made = Pages(world, tokens)
        # What the pages show may be some seconds old.
        program = made.program()
        world.machine.wait_for(lambda _: len(program.get("/api/v1/hosts").json) == 2)
        yield made
