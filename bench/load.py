"""Workloads: what is asked of a disk, at which size and depth."""

from dataclasses import dataclass

USE_BYTES = 256 << 20
"""How much of the disk is used: eight times the last cache of a large processor, and little enough for any tmpfs."""


@dataclass(frozen=True)
class Load:
    """One workload: `depth` requests of `size_bytes` each under way at any moment."""

    op: str
    """read or write."""
    size_bytes: int
    depth: int
    sequential: bool

    @property
    def name(self) -> str:
        return f"{self.op} {size_name(self.size_bytes)} depth {self.depth}"

    def depth_of_each(self, connections: int) -> int:
        """Give how many requests each of so many connections has under way, so that the sum is the same."""
        assert self.depth % connections == 0, f"a depth of {self.depth} can't be divided by {connections}"
        return self.depth // connections


def size_name(size_bytes: int) -> str:
    return f"{size_bytes >> 20} MiB" if size_bytes >= 1 << 20 else f"{size_bytes >> 10} KiB"


OPS = ("read", "write")
SMALL = tuple(Load(op, 4096, 32, False) for op in OPS)
SINGLE = tuple(Load(op, 4096, 1, False) for op in OPS)
LARGE = tuple(Load(op, size, depth, True) for size, depth in ((65536, 16), (131072, 16), (1 << 20, 8)) for op in OPS)
WORKLOADS = (*SMALL, *SINGLE, *LARGE)
"""Those that the marks are about (marks.py), in the order of the tables."""
