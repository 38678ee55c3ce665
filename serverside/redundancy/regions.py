"""The guard of raid10: regions with writes under way are named in the superblock before the first write to them.

A mirror has no parity that could be invented; after a crash its two copies may only differ where writes were under way.
Each copy holds, of every block, what was flushed or something newer; they need to be the same again, for otherwise a
block could turn back to an older state with the drive it is read from. So after a crash one copy is written over the
other in the named regions, before anything is served: only where they differ, because a thin drive has no space for
what was never written, and its file system may be full.

A region is 4 MiB of every drive. The list is bounded by the superblock; when it is full, all drives are synced, and it
begins anew with the regions that are wanted now.
"""

from collections.abc import Sequence, Set

from serverside.drives.base import DriveError
from serverside.redundancy.guard import Change, Guard
from serverside.redundancy.members import Members
from serverside.redundancy.superblock import REGIONS_MAX

REGION_BYTES = 4 << 20
COMPARED_BYTES = 4096


class Regions(Guard):
    """The regions of an array in which writes may be under way."""

    durable = False

    def __init__(self, members: Members) -> None:
        self.members = members
        self.rows = max(1, REGION_BYTES // members.layout.stripe_bytes)
        """Of a region."""

    @property
    def noted(self) -> frozenset[int]:
        """The regions named in the superblock."""
        return frozenset(self.members.superblock.regions)

    def fits(self, changes: Sequence[Change]) -> bool:
        """Whether they touch no more regions than the superblock can name."""
        return len(self._of(changes)) <= REGIONS_MAX

    def prepare(self, changes: Sequence[Change]) -> None:
        """Name the regions."""
        wanted = self._of(changes)
        if wanted <= self.noted:
            return
        together = wanted | self.noted
        if len(together) > REGIONS_MAX:
            self.members.flush()
            together = wanted
        self._save(together)

    def settle(self) -> None:
        """Sync all drives, and forget the regions."""
        if self.noted:
            self.members.flush()
            self._save(frozenset())

    def recover(self) -> int:
        """Make both copies the same in the named regions. Give how many there were."""
        regions = sorted(self.noted)
        layout = self.members.layout
        for region in regions:
            for row in range(region * self.rows, min((region + 1) * self.rows, layout.rows)):
                for index in range(layout.groups_in_row):
                    self._copy(row * layout.groups_in_row + index)
        self.settle()
        return len(regions)

    def _copy(self, group_index: int) -> None:
        layout = self.members.layout
        row, places = layout.group(group_index)
        holding = [place for place in places if self.members.holds(place, row)]
        if len(holding) < len(places):
            return
        content = memoryview(bytearray(layout.stripe_bytes))
        offset_bytes = row * layout.stripe_bytes
        for source, target in (holding, reversed(holding)):
            try:
                self.members.read(source, offset_bytes, content)
            except DriveError:
                continue  # then the other one; where neither can be read, nothing is, and nobody sees two states
            self._make_same(target, offset_bytes, content)
            return

    def _make_same(self, target: int, offset_bytes: int, content: memoryview) -> None:
        present = memoryview(bytearray(len(content)))
        try:
            self.members.read(target, offset_bytes, present)
        except DriveError:
            self.members.write(target, offset_bytes, content)
            return
        for at in range(0, len(content), COMPARED_BYTES) if present.tobytes() != content.tobytes() else ():
            wanted = content[at : at + COMPARED_BYTES]
            if present[at : at + COMPARED_BYTES] != wanted:
                self.members.write(target, offset_bytes + at, wanted)

    def _of(self, changes: Sequence[Change]) -> Set[int]:
        region_bytes = self.rows * self.members.layout.stripe_bytes
        return {change.offset_bytes // region_bytes for change in changes}

    def _save(self, regions: Set[int]) -> None:
        self.members.save(regions=tuple(sorted(regions)))
