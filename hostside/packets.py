"""The packets between a disk process (host driver) and the agents: 32 bytes each, never payload.

Commands go down on an agent's queue, reports come up on a disk's queue; both are `ipc.PacketQueue`s, so a packet
is whole or absent, and many travel in one system call. They never leave the machine: native little-endian order
is fixed only so that a hex dump reads the same everywhere.

COMMAND: OFFSET SIZE MEANING                          REPORT: OFFSET SIZE MEANING
  0  4  tag of the constituent                          0  4  tag (DONE)
  4  1  operation (protocol's zn_op)                    4  1  kind: one of Report
  5  1  flags (protocol's zn_flags)                     5  1  detail number of a failure
  6  2  incarnation of the path the tag was given to    6  2  path
  8  2  disk                                            8  2  incarnation of the path
 10  2  unit (zn_zlun)                                 10  2  disk
 12  4  slot of the buffer pool                        12  4  status: 0 or an errno number
 16  4  length in bytes                                16  4  credits
 20  8  LBA, blocks of 512 bytes                       20  8  value
 28  4  generation of the unit                         28  4  spare
"""

from enum import IntEnum
from struct import Struct
from typing import Final

COMMAND: Final = Struct("<IBBHHHIIQI")
REPORT: Final = Struct("<IBBHHHIIQI")
PACKET_BYTES: Final = 32

assert COMMAND.size == REPORT.size == PACKET_BYTES

NO_SLOT: Final = 0xFFFFFFFF
"""A command that moves no payload (FLUSH, TRIM, WRITE ZEROES) names no slot."""


class Report(IntEnum):
    """Kinds of REPORT."""

    DONE = 1
    """`tag` has ended with `status`."""
    AVAILABLE = 2
    """Message 1H of Figure 5, "if you have work to do, give it to me": this path takes `credits` commands at once.

    0 credits: this incarnation's agent is dead and reaped; its last word before LOST.
    """
    LOST = 3
    """`path` at `incarnation` is fenced: nothing of it can still be applied, nor write into a slot."""
    UNIT = 4
    """The unit is now `value` blocks of `spare` generation; `status` not 0: fail with that errno from now on."""
    STOP = 5
    """Finish what is in flight, then exit."""
    CLOSING = 6
    """`path` at `incarnation` takes nothing more: there are enough paths without it. What it holds it finishes."""
    FORGOTTEN = 7
    """What the NSU acknowledged to incarnations that were available before this, and was not flushed, may be lost."""
