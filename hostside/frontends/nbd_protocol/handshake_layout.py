"""The handshake's messages, declared once for both sides (doc/proto.md, "Newstyle negotiation", "Option
types").

message             OFFSET SIZE MEANING
GREETING                 0    8 NBD_MAGIC "NBDMAGIC"
                         8    8 OPTION_MAGIC "IHAVEOPT"
                        16    2 handshake flags
CLIENT_FLAGS             0    4 client flags
OPTION                   0    8 OPTION_MAGIC
                         8    4 option
                        12    4 length of the data that follows
OPTION_REPLY             0    8 OPTION_REPLY_MAGIC
                         8    4 option this answers
                        12    4 reply type
                        16    4 length of the data that follows
EXPORT_ANSWER            0    8 size in bytes           (answer to NBD_OPT_EXPORT_NAME, then perhaps 124
zeroes)
                         8    2 transmission flags
EXPORT_QUERY             0    4 length of the name      (data of NBD_OPT_INFO and NBD_OPT_GO)
                         4    n name
                       n+4    2 number of queries
                       n+6   2k queries (NBD_INFO_*)
INFO_EXPORT              0    2 NBD_INFO_EXPORT
                         2    8 size in bytes
                        10    2 transmission flags
INFO_BLOCK_SIZE          0    2 NBD_INFO_BLOCK_SIZE
                         2    4 minimum, 6: 4 preferred, 10: 4 maximum payload
INFO_TEXT                0    2 NBD_INFO_NAME or NBD_INFO_DESCRIPTION
                         2    n the text
SERVER_ENTRY             0    4 length of the name      (NBD_REP_SERVER)
                         4    n name
"""

from construct import (
    Bytes,
    Const,
    GreedyBytes,
    Int16ub,
    Int32ub,
    Int64ub,
    Prefixed,
    PrefixedArray,
    Struct,
    Terminated,
)

from hostside.frontends.nbd_protocol.numbers import NBD_MAGIC, OPTION_MAGIC, OPTION_REPLY_MAGIC, Info

GREETING = Struct("magic" / Const(NBD_MAGIC, Int64ub), "option_magic" / Const(OPTION_MAGIC, Int64ub), "flags" / Int16ub)
CLIENT_FLAGS = Struct("flags" / Int32ub)
OPTION = Struct("magic" / Const(OPTION_MAGIC, Int64ub), "option" / Int32ub, "length_bytes" / Int32ub)
OPTION_REPLY = Struct(
    "magic" / Const(OPTION_REPLY_MAGIC, Int64ub),
    "option" / Int32ub,
    "reply" / Int32ub,
    "length_bytes" / Int32ub,
)
EXPORT_ANSWER = Struct("size_bytes" / Int64ub, "flags" / Int16ub)
EXPORT_QUERY = Struct("name" / Prefixed(Int32ub, GreedyBytes), "queries" / PrefixedArray(Int16ub, Int16ub), Terminated)
INFO_EXPORT = Struct("info" / Const(int(Info.EXPORT), Int16ub), "size_bytes" / Int64ub, "flags" / Int16ub)
INFO_BLOCK_SIZE = Struct(
    "info" / Const(int(Info.BLOCK_SIZE), Int16ub),
    "minimum_bytes" / Int32ub,
    "preferred_bytes" / Int32ub,
    "payload_bytes_max" / Int32ub,
)
INFO_TEXT = Struct("info" / Int16ub, "text" / GreedyBytes)
INFO_KIND = Struct("info" / Int16ub)
SERVER_ENTRY = Struct("name" / Prefixed(Int32ub, GreedyBytes), "description" / GreedyBytes)
PADDING = Bytes(124)

GREETING_BYTES: int = GREETING.sizeof()
CLIENT_FLAGS_BYTES: int = CLIENT_FLAGS.sizeof()
OPTION_BYTES: int = OPTION.sizeof()
OPTION_REPLY_BYTES: int = OPTION_REPLY.sizeof()

assert (GREETING_BYTES, CLIENT_FLAGS_BYTES, OPTION_BYTES, OPTION_REPLY_BYTES) == (18, 4, 16, 20)
assert (EXPORT_ANSWER.sizeof(), INFO_EXPORT.sizeof(), INFO_BLOCK_SIZE.sizeof()) == (10, 12, 14)
