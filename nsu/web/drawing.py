"""The picture of an array, as Figure 8 has it: which blocks belong to whom, and which are free. Pure.

Partitions are laid along a line from the first block to the last. Hosts that share a range are one piece with several
owners. Colours go by the first owner, and each piece also has a number, so that nobody needs the colours.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

COLOURS = 8
_LBA = re.compile(r"(.+)\((\d+),(\d+)\)")


@dataclass(frozen=True, slots=True)
class Piece:
    """A range of blocks, both ends included."""

    first_lba: int
    last_lba: int
    names: tuple[str, ...]
    """Of the partition, as its hosts have it; empty: free."""
    hosts: tuple[str, ...]
    number: int
    """From 1, in the order of the blocks; 0: free."""
    colour: int
    """0 to COLOURS-1."""
    start_percent: float
    width_percent: float

    @property
    def is_free(self) -> bool:
        return not self.names

    @property
    def blocks(self) -> int:
        return self.last_lba - self.first_lba + 1

    @property
    def words(self) -> str:
        """What it is, in one line."""
        if self.is_free:
            return "free"
        return f"{' = '.join(dict.fromkeys(self.names))} of {' and '.join(self.hosts) or 'no host'}"


def pieces_of(array: str, blocks: int, owned: Iterable[tuple[str, str, str]]) -> list[Piece]:
    """Give the pieces of an array of so many blocks, free ones too. `owned`: host (or ""), partition, LBA as text."""
    ranges: dict[tuple[int, int], list[tuple[str, str]]] = {}
    for host, name, lba in owned:
        found = _LBA.fullmatch(lba)
        if found and found[1] == array:
            ranges.setdefault((int(found[2]), int(found[3])), []).append((host, name))
    colours: dict[str, int] = {}
    pieces: list[Piece] = []
    next_lba = 0
    for (first, last), owners in sorted(ranges.items()):
        pieces += _free(next_lba, first - 1, blocks)
        hosts = tuple(sorted(host for host, _ in owners if host))
        names = tuple(name for _, name in sorted(owners))
        colour = colours.setdefault(hosts[0] if hosts else "", len(colours) % COLOURS)
        number = 1 + sum(not piece.is_free for piece in pieces)
        pieces.append(Piece(first, last, names, hosts, number, colour, *_place(first, last, blocks)))
        next_lba = max(next_lba, last + 1)
    return pieces + _free(next_lba, blocks - 1, blocks)


def _free(first: int, last: int, blocks: int) -> list[Piece]:
    return [Piece(first, last, (), (), 0, 0, *_place(first, last, blocks))] if last >= first else []


def _place(first: int, last: int, blocks: int) -> tuple[float, float]:
    return round(100 * first / blocks, 4), round(100 * (last - first + 1) / blocks, 4)


def pieces_in(server: dict[str, Any] | None, unassigned: Iterable[tuple[str, str]] = ()) -> dict[str, list[Piece]]:
    """Give the pieces of each array of a server's status. `unassigned`: partitions without a host, with their LBA."""
    if server is None:
        return {}
    owned = [(host["name"], unit["name"], unit["lba"]) for host in server["hosts"] for unit in host["units"]]
    owned += [("", name, lba) for name, lba in unassigned]
    return {
        array["name"]: pieces_of(array["name"], array["capacity_bytes"] // 512, owned) for array in server["arrays"]
    }
