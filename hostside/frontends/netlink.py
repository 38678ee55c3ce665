"""Generic netlink, as much as it takes to give orders to one family of the kernel and to hear its answers.

The layout is that of linux/netlink.h and linux/genetlink.h, in the machine's own byte order:

    message     length u32 | type u16 | flags u16 | sequence u32 | port u32, then command u8 | version u8 | spare u16
    attribute   length u16 (with these four bytes) | type u16 | value, padded to four bytes; a value may be attributes

Rules
  * One order at a time, each with NLM_F_ACK: the kernel carries an order out inside `send`, so its answers and the
    acknowledgement are there when `send` returns. The time limit is for a kernel that does not keep to that.
  * An error is an OSError with the kernel's errno; who gives the order knows what it means and says so.

Why no library: the few that know generic netlink bring ten thousand lines of routing along, and none has the family
that we need. The rest is these two struct formats.
"""

import errno
import os
import socket
import struct
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Self

Attributes = Mapping[int, bytes]

_MESSAGE: Final = struct.Struct("=IHHII")
_GENERIC: Final = struct.Struct("=BBH")
_ATTRIBUTE: Final = struct.Struct("=HH")
_ERRNO: Final = struct.Struct("=i")
_HEAD_BYTES: Final = _MESSAGE.size + _GENERIC.size

_NETLINK_GENERIC: Final = 16
_NLMSG_ERROR: Final = 2
"""Also the acknowledgement, with errno 0."""
_NLM_F_REQUEST: Final = 1
_NLM_F_ACK: Final = 4
_TYPE_MASK: Final = 0x3FFF
"""Without NLA_F_NESTED and NLA_F_NET_BYTEORDER."""
_NESTED: Final = 0x8000

_CONTROLLER: Final = 16
"""GENL_ID_CTRL, the family that knows the others' numbers, which differ from boot to boot."""
_CTRL_CMD_GETFAMILY: Final = 3
_CTRL_ATTR_FAMILY_ID: Final = 1
_CTRL_ATTR_FAMILY_NAME: Final = 2

_ANSWER_BYTES_MAX: Final = 64 << 10
_ANSWER_S: Final = 10.0


def u8(value: int) -> bytes:
    """Give an attribute's value of 8 bits."""
    return struct.pack("=B", value)


def u32(value: int) -> bytes:
    """Give an attribute's value of 32 bits."""
    return struct.pack("=I", value)


def u64(value: int) -> bytes:
    """Give an attribute's value of 64 bits."""
    return struct.pack("=Q", value)


def text(value: str) -> bytes:
    """Give an attribute's value as C has it, NUL at the end."""
    return value.encode() + b"\0"


def number(value: bytes) -> int:
    """Read a value of 8 to 64 bits."""
    return int.from_bytes(value, "little" if struct.pack("=H", 1)[0] else "big")


def attribute(kind: int, value: bytes) -> bytes:
    """Give one attribute, padded."""
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + bytes(-len(value) % 4)


def nested(kind: int, *members: bytes) -> bytes:
    """Give an attribute whose value is attributes."""
    return attribute(kind | _NESTED, b"".join(members))


def parse_attributes(data: bytes) -> dict[int, bytes]:
    """Read attributes, by type; of several of one type the last.

    Raises:
        OSError: EPROTO: a length that can't be.

    """
    found = {}
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        size, kind = _ATTRIBUTE.unpack_from(data, at)
        if size < _ATTRIBUTE.size or at + size > len(data):
            raise OSError(errno.EPROTO, f"a netlink attribute of {size} bytes where {len(data) - at} are left")
        found[kind & _TYPE_MASK] = data[at + _ATTRIBUTE.size : at + size]
        at += size + -size % 4
    return found


class GenericNetlink:
    """Orders to the family `family` of the kernel.

    Raises:
        OSError: ENOENT: the kernel has no such family, because the module that brings it is not loaded.

    """

    def __init__(self, family: str, *, version: int = 1) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_GENERIC)
        self._sequence = 0
        self._version = version
        try:
            self._socket.settimeout(_ANSWER_S)
            self._socket.bind((0, 0))
            answers = self._exchange(_CONTROLLER, _CTRL_CMD_GETFAMILY, attribute(_CTRL_ATTR_FAMILY_NAME, text(family)))
            self.family_id = number(answers[0][_CTRL_ATTR_FAMILY_ID])
            """The family's number, in this run of the kernel."""
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End it. Harmless twice."""
        self._socket.close()

    def ask(self, command: int, *attributes: bytes) -> list[dict[int, bytes]]:
        """Give an order; the attributes of each answer, often none.

        Raises:
            OSError: the kernel refuses, with its errno.

        """
        return self._exchange(self.family_id, command, b"".join(attributes))

    def _exchange(self, family_id: int, command: int, payload: bytes) -> list[dict[int, bytes]]:
        self._sequence += 1
        size = _HEAD_BYTES + len(payload)
        head = _MESSAGE.pack(size, family_id, _NLM_F_REQUEST | _NLM_F_ACK, self._sequence, 0)
        self._socket.send(head + _GENERIC.pack(command, self._version, 0) + payload)
        answers: list[dict[int, bytes]] = []
        while not self._take(self._socket.recv(_ANSWER_BYTES_MAX), answers):
            pass
        return answers

    def _take(self, datagram: bytes, answers: list[dict[int, bytes]]) -> bool:
        """Sort the messages of a datagram; True when the acknowledgement was among them."""
        at = 0
        while at + _MESSAGE.size <= len(datagram):
            size, kind, _, sequence, _ = _MESSAGE.unpack_from(datagram, at)
            message = datagram[at : at + size]
            at += max(size + -size % 4, _MESSAGE.size)
            if sequence != self._sequence:
                continue  # the answer to an order that was given up
            if kind == _NLMSG_ERROR:
                (negative,) = _ERRNO.unpack_from(message, _MESSAGE.size)
                if negative:
                    raise OSError(-negative, os.strerror(-negative))
                return True
            answers.append(parse_attributes(message[_HEAD_BYTES:]))
        return False
