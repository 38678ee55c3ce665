"""Every bound of the language on the wire, each with its reason. Nothing grows past a number of this file."""

from typing import Final

BLOCK_BYTES: Final = 512
"""Blocks are 512 bytes on the wire, whatever the drives below use."""

HEADER_BYTES: Final = 512
"""Appendix C: the request data structure "is 512 bytes long", and so is its answer."""

REQUEST_BYTES_MAX: Final = 131072
"""Appendix C: "A read or write command may request no more than 128 Kilobytes (128 KB) of data"."""

SPLIT_BYTES: Final = 65536
"""Section II splits above 64 KB: a host sends constituents of at most this, a server takes
REQUEST_BYTES_MAX.
"""

HANDSHAKE_TIMEOUT_S: Final = 5.0
"""Appendix D (4): no reply to Z_GET_VERSION "within five (5) seconds" closes the connection."""

CONFIG_PORT: Final = 10001
"""Appendix D (1): "port 10001, by default"."""

PRIVILEGED_PORTS: Final = 1024
"""Appendix D (1): a configuration connection comes from a "port number less than 1024"."""

UNITS_MAX: Final = 1024
"""Units in one answer. Appendix D names 100 "in the current instantiation"; a list stays under 128 KiB."""

PORTS_MAX: Final = 1024
"""Data ports in one answer, so that a list is at most 28 KiB and its size is checked before it is stored."""

ASKS_MAX: Final = 1024
"""Questions a configuration socket may leave unanswered: one for each path, with room."""

NAME_BYTES_MAX: Final = 64
"""UTF-8 bytes of a unit's name (a half of its 128-byte record), of a login and of an NSU's name."""

SENTENCE_BYTES: Final = 256
"""The field for a sentence beside each error of version 0x02."""

NONCE_BYTES: Final = 32
"""256 bits: a nonce never comes twice by chance."""

PROOF_BYTES: Final = 32
"""HMAC-SHA-256."""

UUID_BYTES: Final = 16
"""A unit's own name for ever."""

TRACE_TIMES: Final = 6
"""2S, 3S, 4S, 5S, 6S of Figure 6 and one to spare, each in nanoseconds since 1S."""

U32_MAX: Final = 0xFFFFFFFF
U64_MAX: Final = 0xFFFFFFFFFFFFFFFF
