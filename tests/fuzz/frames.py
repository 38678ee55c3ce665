"""What helps a fuzzer over the walls of version 0x02: whole frames made of short ones, with a CRC that holds.

A fuzzer cannot guess a CRC32C, but whoever speaks to us can make one. So the first byte of an input says how the rest
is read: `RAW`, as bytes off the wire; `SHORT`, as headers of SHORT_BYTES whose remainder is zeros, each given its CRC;
`DUE`, as SHORT, and the target puts in the numbers that only a peer of this very session knows. Without that nothing
behind those checks would ever be reached.
"""

from typing import Any, Final

from protocol.limits import HEADER_BYTES
from protocol.v2.codec import HEADER, Header, encode

RAW: Final = 0
SHORT: Final = 1
DUE: Final = 2
SHORT_BYTES: Final = 84
"""All that moves but the verifier, times and texts."""
INPUT_BYTES_MAX: Final = 8192


def mode_of(data: bytes) -> tuple[int, bytes]:
    """Split an input into how it is to be read, and the rest."""
    return (data[0] % 3 if data else RAW), data[1:INPUT_BYTES_MAX]


def read(frame: bytes) -> Header:
    """Read a frame whose CRC may be wrong."""
    return Header(*HEADER.unpack(frame))


def mended(frame: bytes, **words: Any) -> bytes:
    """Give a frame with these words, and the CRC that it should have."""
    return encode(read(frame)._replace(**words))


def stretched(short: bytes) -> bytes:
    """Give a whole frame that begins so."""
    return short[:SHORT_BYTES].ljust(HEADER_BYTES, b"\0")


def shortened(mode: int, frames: bytes) -> bytes:
    """Give the input that is read as these whole frames: what seeds are made with."""
    heads = (frames[at : at + SHORT_BYTES] for at in range(0, len(frames), HEADER_BYTES))
    return bytes([mode]) + (frames if mode == RAW else b"".join(heads))
