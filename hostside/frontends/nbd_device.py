"""The kernel's NBD client: make it attach a device, give it new sockets, resize it, detach it (linux/nbd-netlink.h).

What the kernel does with what it is told, where it is not obvious:

  * The sockets are past the handshake; the kernel sends requests on them at once. It keeps references of its own: who
    handed them over closes theirs.
  * Several sockets need CAN_MULTI_CONN among the flags, or CONNECT is refused (EINVAL).
  * A request that is not answered for TIMEOUT makes its socket dead and is sent again on another. That is also how long
    requests wait that were on the wire when the serving process died: the kernel knows no other sign.
  * When all sockets are dead, requests wait DEAD_CONN_TIMEOUT for RECONFIGURE to bring new ones, then fail with EIO.
  * RECONFIGURE puts new sockets in the places of dead ones, and drops, without a word, those it has no place for: their
    other ends see the end of file.
  * RECONFIGURE with another size waits, since Linux 6.9, until every request in flight is answered; with a size and
    sockets in one order it does so before it takes the sockets, by which they could be. So sockets and sizes are told
    apart, and a size never by the process that answers (nbd_orders.py).
  * BACKEND_IDENTIFIER (Linux 5.14) is kept with the device, shown in /sys/block/nbdN/backend, and must be said again by
    RECONFIGURE: so a successor finds the device of its predecessor, and can't take another's. It stays while the device
    is attached or anybody has it mounted or open.
  * DISCONNECT may wait, too: it says goodbye on each socket first.
  * Each socket is read by a worker thread of its own. When the kernel is slow to make those threads (a busy machine
    that boots), one thread, the rescuer of the queue, takes all the work that waits, and starts with the first, which
    never ends: the other sockets are never read, and what is answered on them times out. `is_heard` finds that out by
    the names of the threads; sockets that come one by one, with pauses, do not suffer it. (Seen with Linux 6.1.)

Nothing here ever opens the device: whoever serves a device and reads it waits for itself.
"""

import errno
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Final

from hostside.frontends.netlink import GenericNetlink, attribute, nested, number, text, u32, u64

FAMILY: Final = "nbd"
SYS_BLOCK: Final = Path("/sys/block")
PROC: Final = Path("/proc")
HEARD_WITHIN_S: Final = 0.5
_LOOK_AGAIN_S: Final = 0.01


class Command(IntEnum):
    """NBD_CMD_*: orders."""

    CONNECT = 1
    DISCONNECT = 2
    RECONFIGURE = 3


class Attribute(IntEnum):
    """NBD_ATTR_*."""

    INDEX = 1
    SIZE_BYTES = 2
    BLOCK_SIZE_BYTES = 3
    TIMEOUT = 4
    SERVER_FLAGS = 5
    SOCKETS = 7
    DEAD_CONN_TIMEOUT = 8
    BACKEND_IDENTIFIER = 10


_SOCK_ITEM: Final = 1
_SOCK_FD: Final = 1


@dataclass(frozen=True, slots=True)
class Attachment:
    """What a device is to be."""

    size_bytes: int
    """A multiple of `block_bytes`."""
    block_bytes: int
    """The logical block size: 512, 1024, 2048 or 4096."""
    flags: int
    """The transmission flags of the export."""
    timeout_s: int
    dead_timeout_s: int
    identifier: str
    """What the device shows, for as long as it is attached."""


class NbdDevices:
    """The kernel's NBD client.

    Raises:
        OSError: ENODEV: it is not there; EPERM: this process may not use it. Both with a sentence.

    """

    def __init__(self) -> None:
        try:
            self._netlink = GenericNetlink(FAMILY)
        except FileNotFoundError as error:
            sentence = (
                "the kernel's NBD client is not loaded: run «modprobe nbd»; a kernel without that module can show "
                "the disk with SHOW = socket or SHOW = loop"
            )
            raise OSError(errno.ENODEV, sentence) from error

    def close(self) -> None:
        """End the conversation; devices stay. Harmless twice."""
        self._netlink.close()

    def attached(self, identifier: str) -> list[int]:
        """Give the devices that are attached under `identifier`, their sockets dead or alive, or are still in use."""
        found = []
        for path in SYS_BLOCK.glob("nbd*/backend"):
            index = int(path.parent.name.removeprefix("nbd"))
            if self.identifier(index) == identifier:
                found.append(index)
        return sorted(found)

    def identifier(self, index: int) -> str | None:
        """Give what device `index` is attached under; None: it is not attached."""
        try:
            return (SYS_BLOCK / f"nbd{index}/backend").read_text().rstrip("\n")
        except OSError:
            return None

    def size_bytes(self, index: int) -> int:
        """Give the size that users of device `index` see."""
        return int((SYS_BLOCK / f"nbd{index}/size").read_text()) * 512

    def connect(self, attachment: Attachment, sockets: Sequence[int]) -> int:
        """Attach the first free device; its number.

        Raises:
            OSError: with a sentence; ENOTSUP: this kernel keeps no identifier.

        """
        answers = self._ask(
            Command.CONNECT,
            "attach a device",
            *_described(attachment),
            attribute(Attribute.SIZE_BYTES, u64(attachment.size_bytes)),
            attribute(Attribute.BLOCK_SIZE_BYTES, u64(attachment.block_bytes)),
            attribute(Attribute.SERVER_FLAGS, u64(attachment.flags)),
            _sockets(sockets),
        )
        index = number(answers[0][Attribute.INDEX])
        if self.identifier(index) is None:
            self.disconnect(index)
            raise OSError(errno.ENOTSUP, "SHOW = nbd takes Linux 5.14; show the disk with SHOW = socket or SHOW = loop")
        return index

    def is_heard(self, index: int, sockets: int) -> bool:
        """Wait, for HEARD_WITHIN_S at most, until the kernel reads all `sockets` of device `index`; did it?

        Where the names of the kernel's threads are hidden, nothing can be said against it.
        """
        end_s = time.monotonic() + HEARD_WITHIN_S
        while (found := receivers(index)) < sockets:
            if time.monotonic() > end_s:
                return found == 0
            time.sleep(_LOOK_AGAIN_S)
        return True

    def reconfigure(self, index: int, attachment: Attachment, sockets: Sequence[int] = ()) -> None:
        """Tell device `index` its time limits anew, and give it sockets in the places of dead ones.

        Raises:
            OSError: EINVAL: it is not attached any more, or under another identifier; with a sentence.

        """
        order = [attribute(Attribute.INDEX, u32(index)), *_described(attachment)]
        if sockets:
            order.append(_sockets(sockets))
        self._ask(Command.RECONFIGURE, f"change nbd{index}", *order)

    def resize(self, index: int, attachment: Attachment) -> None:
        """Tell device `index` its size anew. Waits for requests in flight.

        Raises:
            OSError: EINVAL, as `reconfigure`.

        """
        size = attribute(Attribute.SIZE_BYTES, u64(attachment.size_bytes))
        named = attribute(Attribute.BACKEND_IDENTIFIER, text(attachment.identifier))
        self._ask(Command.RECONFIGURE, f"resize nbd{index}", attribute(Attribute.INDEX, u32(index)), size, named)

    def disconnect(self, index: int) -> None:
        """Detach device `index`. What waits in it fails with EIO. Harmless when it is not attached."""
        self._ask(Command.DISCONNECT, f"detach nbd{index}", attribute(Attribute.INDEX, u32(index)))

    def _ask(self, command: Command, what: str, *attributes: bytes) -> list[dict[int, bytes]]:
        try:
            return self._netlink.ask(command, *attributes)
        except OSError as error:
            raise refusal(what, error.errno or errno.EIO) from error


def refusal(what: str, number: int) -> OSError:
    """Give the kernel's errno in words. `what`: the order, such as "detach nbd0"."""
    if number == errno.EPERM:
        return OSError(number, f"to {what} takes CAP_SYS_ADMIN: run nsu as root")
    return OSError(number, f"the kernel's NBD client won't {what}: {os.strerror(number)}")


def receivers(index: int, *, proc: Path = PROC) -> int:
    """Count the kernel's threads that read a socket of device `index`: a worker's name ends with what it works for."""
    count = 0
    for path in proc.glob("[0-9]*/comm"):
        try:
            count += path.read_text().rstrip("\n").endswith(f"+nbd{index}-recv")
        except OSError:
            continue  # it ended
    return count


def _described(attachment: Attachment) -> list[bytes]:
    """What CONNECT and RECONFIGURE are both told."""
    return [
        attribute(Attribute.TIMEOUT, u64(attachment.timeout_s)),
        attribute(Attribute.DEAD_CONN_TIMEOUT, u64(attachment.dead_timeout_s)),
        attribute(Attribute.BACKEND_IDENTIFIER, text(attachment.identifier)),
    ]


def _sockets(descriptors: Sequence[int]) -> bytes:
    items = [nested(_SOCK_ITEM, attribute(_SOCK_FD, u32(fd))) for fd in descriptors]
    return nested(Attribute.SOCKETS, *items)
