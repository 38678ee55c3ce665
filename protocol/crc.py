"""The one door to CRC32C (Castagnoli, RFC 3720 section B.4), done in hardware from any buffer without a copy.

A CRC finds what wires and memory do by accident. It is no security: whoever can change bytes can change it
too.
"""

from collections.abc import Callable

from crc32c import crc32c as _crc32c

crc32c: Callable[..., int] = _crc32c
"""`crc32c(data, start=0)`: CRC32C of `data`, carried on from `start`, the CRC of what came before."""
