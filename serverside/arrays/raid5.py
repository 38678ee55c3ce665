"""raid5: one stripe of each row holds the parity of the others; any one drive may be lost.

With n drives, row r has its parity on place n - 1 - (r mod n), and its data from the next place on, going round
(Linux md's default, "left-symmetric"): stripes that follow one another lie on drives that follow one another, so that
a long read uses all of them.
"""

from collections.abc import Set

from serverside.arrays.groups import Group, Layout


class Raid5(Layout):
    """Striping with rotating parity."""

    level = "raid5"
    drives_min = 3
    drives_right = "three or more,"

    @property
    def groups_in_row(self) -> int:
        """A row is a group."""
        return 1

    @property
    def data_members(self) -> int:
        """All but one."""
        return self.places - 1

    def group(self, index: int) -> Group:
        """Data from the place after the parity's on."""
        parity = self.places - 1 - index % self.places
        return Group(index, tuple((parity + 1 + member) % self.places for member in range(self.places)))

    def group_at(self, place: int, row: int) -> int:
        """Its row."""
        del place
        return row

    def survives(self, lost: Set[int]) -> bool:
        """One."""
        return len(lost) <= 1
