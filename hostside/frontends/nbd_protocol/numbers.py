"""Every number of the NBD protocol that we use, under the name that doc/proto.md gives it, and our limits."""

from enum import IntEnum, IntFlag

NBD_MAGIC = 0x4E42444D41474943
OPTION_MAGIC = 0x49484156454F5054
OPTION_REPLY_MAGIC = 0x0003E889045565A9
REQUEST_MAGIC = 0x25609513
SIMPLE_REPLY_MAGIC = 0x67446698
STRUCTURED_REPLY_MAGIC = 0x668E33EF

BLOCK_BYTES_MIN = 512
"""Our blocks, and so the minimum block size we advertise."""
BLOCK_BYTES_PREFERRED = 4096
PAYLOAD_BYTES_MAX = 32 << 20
""""For maximum portability, any payload not exceeding 2^25 bytes SHOULD NOT be considered a denial of
service"."""
STRING_BYTES_MAX = 4096
""""Strings MUST NOT exceed 4096 bytes": export names and error messages."""
OPTION_BYTES_MAX = 64 << 10
"""A longer option is hostile: the longest honest one is a name of 4096 bytes with a handful of queries."""
EXPORT_NAME_PADDING_BYTES = 124


class HandshakeFlag(IntFlag):
    """Handshake flags of the server, and client flags: bit for bit the same two."""

    FIXED_NEWSTYLE = 1
    NO_ZEROES = 2


class TransmissionFlag(IntFlag):
    """What an export can do."""

    HAS_FLAGS = 1 << 0
    READ_ONLY = 1 << 1
    SEND_FLUSH = 1 << 2
    SEND_FUA = 1 << 3
    ROTATIONAL = 1 << 4
    SEND_TRIM = 1 << 5
    SEND_WRITE_ZEROES = 1 << 6
    SEND_DF = 1 << 7
    CAN_MULTI_CONN = 1 << 8


class Option(IntEnum):
    """NBD_OPT_*."""

    EXPORT_NAME = 1
    ABORT = 2
    LIST = 3
    STARTTLS = 5
    INFO = 6
    GO = 7
    STRUCTURED_REPLY = 8
    LIST_META_CONTEXT = 9
    SET_META_CONTEXT = 10


class Reply(IntEnum):
    """NBD_REP_*; bit 31 marks an error."""

    ACK = 1
    SERVER = 2
    INFO = 3
    ERR_UNSUP = (1 << 31) + 1
    ERR_POLICY = (1 << 31) + 2
    ERR_INVALID = (1 << 31) + 3
    ERR_PLATFORM = (1 << 31) + 4
    ERR_TLS_REQD = (1 << 31) + 5
    ERR_UNKNOWN = (1 << 31) + 6
    ERR_SHUTDOWN = (1 << 31) + 7
    ERR_BLOCK_SIZE_REQD = (1 << 31) + 8
    ERR_TOO_BIG = (1 << 31) + 9


class Info(IntEnum):
    """NBD_INFO_*."""

    EXPORT = 0
    NAME = 1
    DESCRIPTION = 2
    BLOCK_SIZE = 3


class Command(IntEnum):
    """NBD_CMD_*."""

    READ = 0
    WRITE = 1
    DISC = 2
    FLUSH = 3
    TRIM = 4
    CACHE = 5
    WRITE_ZEROES = 6
    BLOCK_STATUS = 7


class CommandFlag(IntFlag):
    """NBD_CMD_FLAG_*."""

    FUA = 1 << 0
    NO_HOLE = 1 << 1
    DF = 1 << 2


class Chunk(IntEnum):
    """NBD_REPLY_TYPE_*: bit 15 marks an error."""

    NONE = 0
    OFFSET_DATA = 1
    OFFSET_HOLE = 2
    ERROR = (1 << 15) + 1
    ERROR_OFFSET = (1 << 15) + 2


CHUNK_ERROR_BIT = 1 << 15
CHUNK_DONE = 1
"""NBD_REPLY_FLAG_DONE."""


class NbdError(IntEnum):
    """The only values that may stand in an error field."""

    EPERM = 1
    EIO = 5
    ENOMEM = 12
    EINVAL = 22
    ENOSPC = 28
    EOVERFLOW = 75
    ENOTSUP = 95
    ESHUTDOWN = 108
