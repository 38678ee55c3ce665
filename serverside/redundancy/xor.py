"""The one door to numpy: XOR and comparison of whole stripes, at the speed of memory.

numpy brings a library for linear algebra that starts threads when it is imported. The server forks, and a process that
forks has no threads: so it is told, before the import, to work with one.
"""

import os
from collections.abc import Sequence

os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np

Buffer = bytes | bytearray | memoryview


def xor_into(target: memoryview, source: Buffer) -> None:
    """Put the XOR of both into `target`; both have the same length, a multiple of 8 bytes."""
    assert len(target) == len(source)
    words = np.frombuffer(target, np.uint64)
    np.bitwise_xor(words, np.frombuffer(source, np.uint64), out=words)


def xor_of(sources: Sequence[Buffer]) -> memoryview:
    """Give the XOR of one or more buffers, in a new one."""
    target = memoryview(bytearray(sources[0]))
    for source in sources[1:]:
        xor_into(target, source)
    return target


def is_zero(buffer: Buffer) -> bool:
    """Whether all bytes are zero; the length is a multiple of 8 bytes."""
    return not np.frombuffer(buffer, np.uint64).any()
