"""What people order of redundant arrays while the server runs: the verbs behind `nsu array`.

They only begin something: what becomes of it stands in `nsu status`. Refusals are ControlErrors.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ipc.control import ControlError
from ipc.packets import QueueFull
from serverside.driver.packets import PUT_OUT, SCRUB
from serverside.drives.base import Drive, DriveError
from serverside.drives.open import open_drive
from serverside.errors import SettingsError
from serverside.settings import DriveSettings
from serverside.storage import REPLACEMENTS_MOST, Storage

if TYPE_CHECKING:  # else numpy comes into servers that have no such array
    from serverside.arrays.redundant import Redundant

Arguments = dict[str, Any]


class ArrayOrders:
    """The orders for the arrays of `storage`."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.came = 0

    def scrub(self, arguments: Arguments) -> dict[str, Any]:
        """`array`: compare all its groups."""
        array = self._array(arguments)
        self._order(array, SCRUB)
        return {"array": array.name}

    def replace(self, arguments: Arguments) -> dict[str, Any]:
        """`array`, `old` (path or place), perhaps `new` (path) and `force`: trust `old` no more, rebuild on `new`.

        Without `new` a spare takes the place.
        """
        array = self._array(arguments)
        place, new = self._place(array, str(arguments["old"])), arguments.get("new")
        if new is not None:
            self._take_in(array, Path(str(new)), force=arguments.get("force") is True)
        self._order(array, PUT_OUT, place)
        if new is not None:
            self.storage.renew_driver(array)
        return {"array": array.name, "place": place, "new": new}

    def _order(self, array: "Redundant", order: int, place: int = 0) -> None:
        try:
            self.storage.order(array, order, place)
        except QueueFull as error:
            raise ControlError(f"the owner of array {array.name} takes no more orders now: try again") from error

    def _array(self, arguments: Arguments) -> "Redundant":
        name = str(arguments["array"])
        array = self.storage.arrays.get(name)
        if array is None:
            raise ControlError(f"there is no array {name}; there are: {', '.join(self.storage.arrays)}")
        if not array.describe():
            raise ControlError(f"array {name} is {array.settings.level}: it keeps nothing twice")
        return cast("Redundant", array)

    @staticmethod
    def _place(array: "Redundant", name: str) -> int:
        try:
            place = array.place_of(name)
            array.check_put_out(place)
        except SettingsError as error:
            raise ControlError(str(error)) from error
        return place

    def _take_in(self, array: "Redundant", path: Path, *, force: bool) -> None:
        known = array.unused_drive(str(path))
        drive = known or self._opened(path)
        try:
            array.add_spare(drive, force=force)
        except (SettingsError, DriveError) as error:
            if known is None:
                drive.close()
            raise ControlError(str(error)) from error

    def _opened(self, path: Path) -> Drive:
        if self.came == REPLACEMENTS_MOST:
            raise ControlError(f"{REPLACEMENTS_MOST} drives have come since the NSU was started: restart it first")
        try:
            drive = self.storage.open_next(DriveSettings(path), open_drive)
        except DriveError as error:
            raise ControlError(str(error)) from error
        self.came += 1
        return drive
