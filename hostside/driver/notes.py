"""Notes: what does not fit into a 32-byte report. Shared memory, made before any fork, a row for each index
of a tag.

ROW: OFFSET SIZE MEANING
      0     256  sentence of a refusal, UTF-8, padded with NUL
    256   13*8   time stamps in nanoseconds, native u64, one for each of STAGES (traced requests only)
    360     24   padding

One more row, after those of the tags, holds the sentence of a UNIT report.

Rules. A row has one writer at a time: the agent that holds the tag, and only until it has reported DONE;
then the driver reads the row, and clears it, before the index is used again. So there is no lock. An agent
that is lost writes no more by the time LOST is reported. The driver itself stamps "1H" (the rendezvous: the
path's request for work meets a command) and "7H" (the host driver reports to the operating system); the
agent the other stages of the host and, as the server told them, those of the server.
"""

import mmap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from hostside.driver.tags import index_bits

STAGES: Final = ("1H", "2H", "3H", "4H", "5H", "6H", "7H", "1S", "2S", "3S", "4S", "5S", "6S")
"""The messages of Figures 5 and 6, in the order of a row's stamps."""
SENTENCE_BYTES: Final = 256
_ROW_BYTES: Final = 384
_STAGE_INDEX: Final = {stage: index for index, stage in enumerate(STAGES)}

assert SENTENCE_BYTES + 8 * len(STAGES) <= _ROW_BYTES


@dataclass(frozen=True, slots=True)
class Trace:
    """One constituent's way through Figure 5 (READ) or 6 (WRITE)."""

    op: int
    offset_bytes: int
    length_bytes: int
    path: int
    incarnation: int
    status: int
    stamps: dict[str, int]
    """Stage -> nanoseconds, of those that were stamped: 1H to 7H by the host's clock, 1S to 6S as told."""


@dataclass(frozen=True, slots=True)
class TraceWish:
    """Somebody wants to see the next constituent of an operation."""

    op: int
    on_trace: Callable[[Trace], None]


class Notes:
    """The rows for a driver with `tags_max` tags; `tag` is always a whole tag, attempt and all."""

    def __init__(self, tags_max: int) -> None:
        self.tags_max = tags_max
        self._mask = (1 << index_bits(tags_max)) - 1
        # Populated at once: the path of a block must not stop to find memory while the system is short of it.
        flags = mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE
        self._bytes = memoryview(mmap.mmap(-1, (tags_max + 1) * _ROW_BYTES, flags=flags))
        self._words = self._bytes.cast("Q")

    def write(self, tag: int, sentence: str) -> None:
        """Leave the sentence of a failure, before DONE is reported; what exceeds 256 bytes is cut off."""
        self._write_row(tag & self._mask, sentence)

    def read(self, tag: int) -> str:
        """Give the sentence, "" when there is none."""
        return self._read_row(tag & self._mask)

    def take(self, tag: int) -> str:
        """Give the sentence, and clear it."""
        sentence = self.read(tag)
        self.clear(tag)
        return sentence

    def clear(self, tag: int) -> None:
        """Take the sentence away, so that it is not read for the next use of the row."""
        self._bytes[(tag & self._mask) * _ROW_BYTES] = 0

    def write_unit(self, sentence: str) -> None:
        """Leave the sentence of a UNIT report that has a status."""
        self._write_row(self.tags_max, sentence)

    def read_unit(self) -> str:
        """Give the sentence of the last UNIT report that had one."""
        return self._read_row(self.tags_max)

    def stamp(self, tag: int, stage_index: int, ns: int) -> None:
        """Note that stage `STAGES[stage_index]` was reached at `ns` nanoseconds."""
        self._words[self._stamp_word(tag) + stage_index] = ns

    def stamp_named(self, tag: int, stage: str, ns: int) -> None:
        """Note the same by the stage's name."""
        self.stamp(tag, _STAGE_INDEX[stage], ns)

    def stamps(self, tag: int) -> list[int]:
        """Give all thirteen; 0 is a stage without a stamp."""
        first = self._stamp_word(tag)
        return self._words[first : first + len(STAGES)].tolist()

    def named_stamps(self, tag: int) -> dict[str, int]:
        """Give those that were stamped, by name."""
        return {stage: ns for stage, ns in zip(STAGES, self.stamps(tag), strict=True) if ns}

    def clear_stamps(self, tag: int) -> None:
        """Make the row ready for another trace."""
        for index in range(len(STAGES)):
            self.stamp(tag, index, 0)

    def _stamp_word(self, tag: int) -> int:
        return ((tag & self._mask) * _ROW_BYTES + SENTENCE_BYTES) // 8

    def _write_row(self, row: int, sentence: str) -> None:
        text = sentence.encode()[:SENTENCE_BYTES].ljust(SENTENCE_BYTES, b"\0")
        self._bytes[row * _ROW_BYTES : row * _ROW_BYTES + SENTENCE_BYTES] = text

    def _read_row(self, row: int) -> str:
        text = bytes(self._bytes[row * _ROW_BYTES : row * _ROW_BYTES + SENTENCE_BYTES])
        return text.partition(b"\0")[0].decode(errors="ignore")
