"""How partitions and their sizes are called in sentences."""

from ipc.sizes import size
from protocol.limits import BLOCK_BYTES


def size_words(blocks: int) -> str:
    """Give a number of blocks as people say it: exact, or with its blocks beside it."""
    words = size(blocks * BLOCK_BYTES)
    exact = any(blocks * BLOCK_BYTES % unit == 0 for unit in (1 << 40, 1 << 30, 1 << 20))
    return words if exact and "." not in words else f"{words} ({blocks} blocks)"


def access_words(*, read_only: bool) -> str:
    """Give ACCESS as nsu.conf has it."""
    return "read-only" if read_only else "read-write"
