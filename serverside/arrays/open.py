"""The register of the levels, and the one way to join drives."""

from collections.abc import Sequence

from protocol.limits import BLOCK_BYTES
from serverside.arrays.base import Array
from serverside.arrays.jbod import Jbod
from serverside.arrays.raid0 import Raid0
from serverside.drives.base import Drive
from serverside.errors import SettingsError
from serverside.settings import ArraySettings

LEVELS: dict[str, type[Array]] = {
    "jbod": Jbod,
    "raid0": Raid0,
}
PLANNED = frozenset({"raid10", "raid5"})


def open_array(settings: ArraySettings, drives: Sequence[Drive]) -> Array:
    """Join open drives at the level that the settings name. Raise SettingsError with a sentence."""
    ours = " or ".join(LEVELS)
    if settings.level in PLANNED:
        raise SettingsError(f"ARRAY {settings.name}: LEVEL = {settings.level} is not served yet; {ours} would be right")
    if settings.level not in LEVELS:
        raise SettingsError(f"ARRAY {settings.name}: LEVEL = {settings.level} is unknown; {ours} would be right")
    if settings.stripe_bytes <= 0 or settings.stripe_bytes % BLOCK_BYTES:
        raise SettingsError(
            f"ARRAY {settings.name}: STRIPE = {settings.stripe_bytes} bytes is no whole number of "
            f"{BLOCK_BYTES}-byte blocks; 64KiB would be right"
        )
    array = LEVELS[settings.level](settings, drives)
    if array.capacity_blocks == 0:
        sizes = ", ".join(f"{drive.name} has {drive.size_bytes} bytes" for drive in drives)
        raise SettingsError(f"ARRAY {settings.name}: its drives are too small for LEVEL = {settings.level}: {sizes}")
    return array
