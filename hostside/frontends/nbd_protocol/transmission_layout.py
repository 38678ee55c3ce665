"""The transmission phase's messages (doc/proto.md, "Transmission"): struct, because every I/O passes here.

REQUEST             OFFSET SIZE MEANING
                         0    4 REQUEST_MAGIC
                         4    2 command flags
                         6    2 command
                         8    8 cookie
                        16    8 offset in bytes
                        24    4 length in bytes         (a write's payload follows)
SIMPLE_REPLY             0    4 SIMPLE_REPLY_MAGIC
                         4    4 error
                         8    8 cookie                  (a successful read's payload follows)
CHUNK                    0    4 STRUCTURED_REPLY_MAGIC
                         4    2 flags (1: the last chunk of its reply)
                         6    2 type
                         8    8 cookie
                        16    4 length of what follows
DATA_CHUNK          CHUNK and 20  8 offset in bytes     (then the data)
ERROR_CHUNK         CHUNK and 20  4 error, 24  2 length of the sentence (then the sentence)
"""

from collections.abc import Callable
from struct import Struct
from typing import Final

from hostside.frontends.nbd_protocol.numbers import (
    CHUNK_DONE,
    SIMPLE_REPLY_MAGIC,
    STRING_BYTES_MAX,
    STRUCTURED_REPLY_MAGIC,
    Chunk,
)

REQUEST: Final = Struct(">IHHQQI")
SIMPLE_REPLY: Final = Struct(">IIQ")
CHUNK: Final = Struct(">IHHQI")
DATA_CHUNK: Final = Struct(">IHHQIQ")
ERROR_CHUNK: Final = Struct(">IHHQIIH")
CHUNK_OFFSET: Final = Struct(">Q")
HOLE: Final = Struct(">QI")
ERROR_HEAD: Final = Struct(">IH")

REQUEST_BYTES: Final = REQUEST.size
assert (REQUEST_BYTES, SIMPLE_REPLY.size, CHUNK.size) == (28, 16, 20)
assert DATA_CHUNK.size == CHUNK.size + CHUNK_OFFSET.size
assert ERROR_CHUNK.size == CHUNK.size + ERROR_HEAD.size

_CHUNK_NONE: Final = int(Chunk.NONE)
_CHUNK_DATA: Final = int(Chunk.OFFSET_DATA)
_CHUNK_ERROR: Final = int(Chunk.ERROR)


def simple_reply(cookie: int, error: int = 0) -> bytes:
    """Build a simple reply: all the answer to a write, or what stands before a read's payload."""
    return SIMPLE_REPLY.pack(SIMPLE_REPLY_MAGIC, error, cookie)


def data_chunk(cookie: int, offset_bytes: int, length_bytes: int, *, done: bool) -> bytes:
    """Build what stands before the data of a structured read reply."""
    return DATA_CHUNK.pack(
        STRUCTURED_REPLY_MAGIC, CHUNK_DONE if done else 0, _CHUNK_DATA, cookie, 8 + length_bytes, offset_bytes
    )


def none_chunk(cookie: int) -> bytes:
    """Build the chunk that ends a structured reply and says nothing."""
    return CHUNK.pack(STRUCTURED_REPLY_MAGIC, CHUNK_DONE, _CHUNK_NONE, cookie, 0)


def error_chunk(cookie: int, error: int, sentence: str) -> bytes:
    """Build a structured error reply with its sentence, "suitable for direct display to a human being"."""
    text = sentence.encode()[:STRING_BYTES_MAX].decode(errors="ignore").encode()
    head = ERROR_CHUNK.pack(
        STRUCTURED_REPLY_MAGIC,
        CHUNK_DONE,
        _CHUNK_ERROR,
        cookie,
        ERROR_HEAD.size + len(text),
        error,
        len(text),
    )
    return head + text


ErrorReply = Callable[[int, int, str], bytes]
"""(cookie, error, sentence) -> the reply."""


def simple_error(cookie: int, error: int, sentence: str) -> bytes:
    """Build a failed simple reply. It has no place for the sentence."""
    del sentence
    return simple_reply(cookie, error)
