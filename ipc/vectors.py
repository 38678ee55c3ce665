"""Lists of buffers that one system call sends: what is left after a part went."""


def rest_after(out: list[memoryview], sent_bytes: int) -> list[memoryview]:
    """Give what of `out` is still to be sent after `sent_bytes` of it went."""
    for index, piece in enumerate(out):
        if sent_bytes < len(piece):
            return [piece[sent_bytes:], *out[index + 1 :]]
        sent_bytes -= len(piece)
    return []
