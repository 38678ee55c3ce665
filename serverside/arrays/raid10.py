"""raid10: every stripe lies on both drives of a pair, and stripes are dealt round the pairs.

Places 0 and 1 are the first pair, 2 and 3 the second, and so on: one drive of each pair may be lost. Two drives are one
pair, a mirror.
"""

from collections.abc import Set

from serverside.arrays.groups import Group, Layout


class Raid10(Layout):
    """Striping over mirrored pairs."""

    level = "raid10"
    drives_min = 2
    drives_right = "an even number, two or more,"

    @classmethod
    def fits(cls, places: int) -> bool:
        """Whole pairs."""
        return places >= cls.drives_min and places % 2 == 0

    @property
    def groups_in_row(self) -> int:
        """One for each pair."""
        return self.places // 2

    @property
    def data_members(self) -> int:
        """The other one is its copy."""
        return 1

    def group(self, index: int) -> Group:
        """Stripe s lies on pair s mod pairs."""
        row, pair = divmod(index, self.places // 2)
        return Group(row, (2 * pair, 2 * pair + 1))

    def group_at(self, place: int, row: int) -> int:
        """The pair's stripe of that row."""
        return row * (self.places // 2) + place // 2

    def survives(self, lost: Set[int]) -> bool:
        """No pair as a whole."""
        return not any({2 * pair, 2 * pair + 1} <= lost for pair in range(self.places // 2))
