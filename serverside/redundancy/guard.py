"""What stands between computing a change and doing it: the contract of the two ways to outlive a crash in between.

`Journal` (raid5) and `Regions` (raid10) keep it; docs/decisions/0012 tells why each level has its own.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple


class Change(NamedTuple):
    """New bytes for one place; the offset counts from the start of its data area."""

    place: int
    offset_bytes: int
    data: memoryview


class Guard(ABC):
    """Errors are DriveErrors, raised only when the array stops."""

    durable: bool
    """Whether what was prepared is durable, in place or not."""

    @abstractmethod
    def fits(self, changes: Sequence[Change]) -> bool:
        """Whether one `prepare` can take so much."""

    @abstractmethod
    def prepare(self, changes: Sequence[Change]) -> None:
        """After this, a crash during the changes can be mended. They are for one another: all or none is meant."""

    @abstractmethod
    def recover(self) -> int:
        """Mend what a crash left, before anything else is done. Give how many changes or regions that were."""

    @abstractmethod
    def settle(self) -> None:
        """Make everything durable in place, so that the next start has nothing to mend."""
