"""Why a role ended, in its own words: a note in shared memory, which the role writes and the supervisor reads.

It is made before the fork, has no name in the file system, and outlives whoever wrote it. One writer at a time for each
role: its process.
"""

from collections.abc import Sequence

from ipc.buffers import BufferPool

WORDS_BYTES = 1024


class LastWords:
    """One note for each of `roles`."""

    def __init__(self, roles: Sequence[str]) -> None:
        self._slots = {role: slot for slot, role in enumerate(roles)}
        self._pool = BufferPool(len(roles), WORDS_BYTES, holders={"the last words of each role": len(roles)})

    def put(self, role: str, sentence: str) -> None:
        """Write the note; a longer sentence loses its end. An empty one takes the former away."""
        self._pool.view(self._slots[role])[:] = sentence.encode()[:WORDS_BYTES].ljust(WORDS_BYTES, b"\0")

    def get(self, role: str) -> str:
        """Read the note; empty when there is none."""
        return bytes(self._pool.view(self._slots[role])).rstrip(b"\0").decode(errors="ignore")
