"""The register of the levels, and the one way to join drives."""

from collections.abc import Sequence

from protocol.limits import BLOCK_BYTES
from serverside.arrays.base import Array
from serverside.arrays.groups import Layout
from serverside.arrays.jbod import Jbod
from serverside.arrays.raid0 import Raid0
from serverside.arrays.raid5 import Raid5
from serverside.arrays.raid10 import Raid10
from serverside.drives.base import Drive
from serverside.errors import SettingsError
from serverside.settings import ArraySettings

LEVELS: dict[str, type[Array]] = {
    "jbod": Jbod,
    "raid0": Raid0,
}
LAYOUTS: dict[str, type[Layout]] = {
    "raid10": Raid10,
    "raid5": Raid5,
}
"""Levels with redundancy, all of them `Redundant` arrays (`redundant.py`)."""


def open_array(
    settings: ArraySettings, drives: Sequence[Drive], absent: Sequence[str] = (), *, force: bool = False
) -> Array:
    """Join open drives at the level that the settings name. Raise SettingsError with a sentence, or DriveError.

    With redundancy, `drives` are DRIVEs and SPAREs, and `absent` tells why others could not be opened; `force` makes a
    new array whatever they hold. Other levels have all their DRIVEs.
    """
    if settings.level not in LEVELS and settings.level not in LAYOUTS:
        ours = " or ".join([*LEVELS, *LAYOUTS])
        raise SettingsError(f"ARRAY {settings.name}: LEVEL = {settings.level} is unknown; {ours} would be right")
    if settings.stripe_bytes <= 0 or settings.stripe_bytes % BLOCK_BYTES:
        raise SettingsError(
            f"ARRAY {settings.name}: STRIPE = {settings.stripe_bytes} bytes is no whole number of "
            f"{BLOCK_BYTES}-byte blocks; 64KiB would be right"
        )
    if settings.level in LAYOUTS:
        # Not at the top: numpy takes a tenth of a second and some memory of every process, and most need none of it.
        from serverside.arrays.redundant import Redundant

        return Redundant(settings, drives, LAYOUTS[settings.level], absent, force=force)
    array = LEVELS[settings.level](settings, drives)
    if array.capacity_blocks == 0:
        sizes = ", ".join(f"{drive.name} has {drive.size_bytes} bytes" for drive in drives)
        raise SettingsError(f"ARRAY {settings.name}: its drives are too small for LEVEL = {settings.level}: {sizes}")
    return array
