"""The numbers of `zn_op` and of the request flags in `zn_flags`: one table each.

Appendix C gives 0x2 and 0x3, Appendix D gives Z_GET_VERSION 0x1005. Where the text leaves a number open it is
fixed here: 0x1006..0x1008 for version 0x01, 0x4..0x7 and 0x2001..0x2006 for version 0x02.
"""

from enum import IntEnum, IntFlag


class Op(IntEnum):
    """`zn_op`: what a message asks for; the answer carries the same number."""

    READ = 0x2
    WRITE = 0x3
    FLUSH = 0x4
    TRIM = 0x5
    WRITE_ZEROES = 0x6
    PING = 0x7
    GET_VERSION = 0x1005
    GET_STARTTIME = 0x1006
    GET_CAPACITIES = 0x1007
    GET_DATAPORT = 0x1008
    GET_UNITS = 0x2001
    OPEN_PATH = 0x2002
    FENCE = 0x2003
    CONFIG_PING = 0x2004
    NOTICE = 0x2005
    PATH_LOGIN = 0x2006


class Flag(IntFlag):
    """`zn_flags` of a request, version 0x02. Version 0x01 defines no bit: its hosts send 0, and none is
    obeyed.
    """

    FUA = 0x1
    """Write through: the answer comes when the data is on stable storage."""
    PAYLOAD_CRC = 0x2
    """CRC32C of the payload: present (write, answer to a read) or wanted (read)."""
    TRACE = 0x80
    """The answer carries the times of 2S..6S."""


OP_MEANINGS: dict[Op, tuple[int, str]] = {
    Op.READ: (
        1,
        "Read `zn_reqsz` bytes from block `zn_lba`. The answer's header comes first, then the data.",
    ),
    Op.WRITE: (1, "Write the `zn_reqsz` bytes that follow the header at block `zn_lba`."),
    Op.FLUSH: (
        2,
        "Put every write of the unit acknowledged before this on stable storage, whatever its path.",
    ),
    Op.TRIM: (2, "The range is no longer needed. `zn_reqsz` may be as large as the unit; no payload."),
    Op.WRITE_ZEROES: (2, "The range reads as zeros. `zn_reqsz` may be as large as the unit; no payload."),
    Op.PING: (2, "Is the reader/writer alive? Needs no unit; no payload."),
    Op.GET_VERSION: (1, "Z_GET_VERSION: the greeting, its reply and the verdict (Appendix D, steps 2 to 5)."),
    Op.GET_STARTTIME: (
        1,
        "Z_GET_STARTTIME: the opaque cookie that changes exactly when the configuration does.",
    ),
    Op.GET_CAPACITIES: (1, "Z_GET_CAPACITIES: the number of units, then that many capacities in bytes."),
    Op.GET_DATAPORT: (1, "Z_GET_DATAPORT: the number of data ports, then that many `z_get_dataport_t`."),
    Op.GET_UNITS: (2, "Z_GET_UNITS: the number of units, then that many unit records of 128 bytes."),
    Op.OPEN_PATH: (
        2,
        "Z_OPEN_PATH: a nonce from which both sides make the single-use token of one data socket.",
    ),
    Op.FENCE: (2, "Z_FENCE: answered when nothing of the path can still be applied."),
    Op.CONFIG_PING: (
        2,
        "Z_PING: is the server alive? With `zn_reqsz_lo` 1 the host says which units it uses: bit n of `zn_lba` for"
        " unit n, by the list of units of which `generation` is the sum of (number + 1) x generation, modulo 2**32.",
    ),
    Op.NOTICE: (2, "Z_NOTICE: pushed by the server, request id 0: kind in `zn_reqsz_lo`, value in `zn_lba`."),
    Op.PATH_LOGIN: (2, "Z_PATH_LOGIN: the first message of a data socket, and its answer."),
}
"""Operation -> (first version that has it, meaning)."""

assert OP_MEANINGS.keys() == set(Op)
