"""How the disk stands: whether requests are served, or all refused, and why.

Requests are refused for the sake of
  * the unit: a UNIT report with a status refuses everything, until one without a status comes;
  * no path: with `fail_after_s`, everything is refused after so long without a path, until one is
    available; what was sent and may still be applied is given up too (ghosts.py);
  * STOP: nothing new is taken; what was submitted before is still served.
"""

from errno import EIO, ESHUTDOWN

from hostside.driver.admission import Refusal


class Standing:
    """`refusal` is what everything meets that no living path holds; `refusal_of_new` is what `submit` meets."""

    __slots__ = ("_fail_after_s", "_pathless", "_unit", "refusal", "refusal_of_new", "stop_asked")

    def __init__(self, fail_after_s: float | None) -> None:
        self._fail_after_s = fail_after_s
        self._unit: Refusal | None = None
        self._pathless: Refusal | None = None
        self.stop_asked = False
        self.refusal: Refusal | None = None
        self.refusal_of_new: Refusal | None = None

    def fail_at_s(self, pathless_since_s: float | None) -> float | None:
        """Give when patience ends; None when it does not, or has ended already."""
        if self._fail_after_s is None or pathless_since_s is None or self._pathless is not None:
            return None
        return pathless_since_s + self._fail_after_s

    @property
    def has_given_up(self) -> bool:
        """Patience has ended, and no path was found since."""
        return self._pathless is not None

    def unit(self, refusal: Refusal | None) -> None:
        """The server has said how the unit stands."""
        self._unit = refusal
        self._weigh()

    def no_path(self, name: str) -> None:
        """Patience has ended."""
        self._pathless = EIO, f"{name}: there has been no path to the server for {self._fail_after_s:g} s"
        self._weigh()

    def path_found(self) -> None:
        """A path takes work again."""
        self._pathless = None
        self._weigh()

    def stop(self) -> None:
        """STOP has come."""
        self.stop_asked = True
        self._weigh()

    def _weigh(self) -> None:
        self.refusal = self._unit or self._pathless
        stopping = (ESHUTDOWN, "The disk is being stopped: no new requests") if self.stop_asked else None
        self.refusal_of_new = self.refusal or stopping
