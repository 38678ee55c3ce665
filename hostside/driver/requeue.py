"""Commands that came back unexecuted, and are not to blame: ESTALE and ESHUTDOWN (traps 23 and 24).

  ESHUTDOWN  the server is finishing; another path, or this one's next incarnation, will do it.
  ESTALE     the unit has another generation than the command said. Either the new one is known here by now:
             then the command goes out again at once. Or the UNIT report is still on its way: then the
             command waits for it, or for `RETRY_S`. A command refused as stale under the generation of a
             UNIT report that came after its first refusal fails: server and host will not agree.

So that no disagreement lasts for ever, a command comes back at most `REFUSALS_MAX` times.
"""

from enum import Enum, auto
from errno import ESHUTDOWN, ESTALE
from typing import Final

from hostside.driver.request import Constituent

RETRY_S: Final = 1.0
REFUSALS_MAX: Final = 64


class Verdict(Enum):
    """What becomes of a refused command."""

    FAIL = auto()
    AGAIN = auto()
    LATER = auto()


class Waiting:
    """Commands refused as stale that wait for a UNIT report."""

    __slots__ = ("commands", "retry_at_s")

    def __init__(self) -> None:
        self.commands: list[Constituent] = []
        self.retry_at_s: float | None = None

    def judge(self, constituent: Constituent, status: int, generation: int) -> Verdict:
        """Decide on a command that ended with `status`; `generation` is the unit's as known here."""
        if status not in (ESHUTDOWN, ESTALE) or constituent.refusals >= REFUSALS_MAX:
            return Verdict.FAIL
        constituent.refusals += 1
        if status == ESHUTDOWN:
            return Verdict.AGAIN
        if constituent.generation != generation:
            constituent.stale = True
            return Verdict.AGAIN
        return Verdict.FAIL if constituent.stale else Verdict.LATER

    def add(self, constituent: Constituent, now_s: float) -> None:
        """Keep a command until `take`."""
        self.commands.append(constituent)
        if self.retry_at_s is None:
            self.retry_at_s = now_s + RETRY_S

    def take(self, *, unit_reported: bool) -> list[Constituent]:
        """Give all that waited."""
        commands, self.commands, self.retry_at_s = self.commands, [], None
        if unit_reported:
            for constituent in commands:
                constituent.stale = True
        return commands
