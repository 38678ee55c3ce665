"""Whether this machine has the addresses on which its ports are open: asked once a second.

Ports are bound whether their address is there or not (listening.py), so nothing has to be opened when it comes. But a
person is told of an address that is missing, perhaps because it is misspelt; and hosts are told at once when a way to
us may have come back, so that they need not wait for their own next try.
"""

import socket
from collections.abc import Callable, Iterable
from errno import EADDRNOTAVAIL

from ipc.interfaces import Interfaces


class AddressWatch:
    """Looks; `say` gets a line for each address that goes or comes."""

    def __init__(self, say: Callable[[str], object], interfaces: Interfaces | None = None) -> None:
        self.say = say
        self.interfaces = interfaces or Interfaces()
        self.missing: frozenset[str] = frozenset()

    def look(self, addresses: Iterable[str]) -> frozenset[str]:
        """Look at those that ports are open on; give the ones that may be reached better than before."""
        wanted = frozenset(addresses)
        before, self.missing = self.missing, frozenset(address for address in wanted if not is_here(address))
        for address in sorted(self.missing - before):
            self.say(f"nsu: server: {missing_words(address)}")
        come = wanted & before - self.missing
        for address in sorted(come):
            self.say(f"nsu: server: {address} is an address of this machine now: its ports can be reached")
        return come | wanted & self.interfaces.look().addresses

    def warnings(self) -> list[str]:
        return [missing_words(address) for address in sorted(self.missing)]


def missing_words(address: str) -> str:
    return f"{address} is no address of this machine now: until it is, nobody can connect to its ports"


def is_here(address: str) -> bool:
    """Ask the kernel whether a socket could have this address for its own, as it will ask for each connection."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((address, 0))
    except OSError as error:
        return error.errno != EADDRNOTAVAIL
    return True
