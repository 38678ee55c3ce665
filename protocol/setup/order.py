"""What is sealed: one order, one result. JSON in UTF-8, padded with blanks to PLAIN_BYTES."""

import json
from dataclasses import asdict, dataclass, field

from protocol.setup.messages import PLAIN_BYTES

ADDRESSES_MAX = 8
SENTENCE_BYTES_MAX = 480
"""Twice that fits, should JSON escape every character."""


class TooLongError(ValueError):
    """It does not fit into a frame; the text is a sentence for people."""


@dataclass(frozen=True, slots=True)
class Order:
    """What an NSU is to become. Whether it can, the NSU judges; empty: it stays as it is."""

    name: str
    addresses: tuple[str, ...]
    """`10.0.0.5/24`, at least one."""
    interface: str
    """The NSU's, that is to have them; empty: the one on which the order came."""
    admin: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Result:
    """What became of it: all of it or nothing."""

    done: bool
    sentence: str
    """For people: what is different now, or why nothing is."""


def order_bytes(order: Order) -> bytes:
    """Give PLAIN_BYTES. Raises TooLongError."""
    return _padded(json.dumps(asdict(order), ensure_ascii=False).encode(errors="replace"))


def read_order(plain: bytes) -> Order | None:
    """Read an order; None: it is none."""
    said = _read(plain)
    if said is None or set(said) != {"name", "addresses", "interface", "admin", "password"}:
        return None
    addresses = said.pop("addresses")
    if not isinstance(addresses, list) or not 0 < len(addresses) <= ADDRESSES_MAX:
        return None
    if not all(isinstance(text, str) for text in (*addresses, *said.values())):
        return None
    return Order(addresses=tuple(addresses), **{key: str(value) for key, value in said.items()})


def result_bytes(result: Result) -> bytes:
    """Give PLAIN_BYTES; a long sentence is cut."""
    shown = "".join(character if character.isprintable() else "?" for character in result.sentence)
    sentence = shown.encode(errors="replace")[:SENTENCE_BYTES_MAX].decode(errors="ignore")
    return _padded(json.dumps({"done": result.done, "sentence": sentence}, ensure_ascii=False).encode())


def read_result(plain: bytes) -> Result | None:
    """Read a result; None: it is none."""
    said = _read(plain)
    done, sentence = (None, None) if said is None else (said.get("done"), said.get("sentence"))
    return Result(done, sentence) if isinstance(done, bool) and isinstance(sentence, str) else None


def _padded(data: bytes) -> bytes:
    if len(data) > PLAIN_BYTES:
        raise TooLongError(
            f"{len(data)} bytes are too many for one frame, which takes {PLAIN_BYTES}: shorten the names"
        )
    return data.ljust(PLAIN_BYTES)


def _read(plain: bytes) -> dict[str, object] | None:
    try:
        said = json.loads(plain.decode())
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None
