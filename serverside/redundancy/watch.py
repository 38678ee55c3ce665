"""The watch over slow drives: gives windows of the counters to the judge (`slowness.py`), and does what it says.

Owner only. It judges an array only while that is whole: a rebuild loads one drive more than the others, and without
redundancy no drive can be spared.
"""

from dataclasses import dataclass

from serverside.redundancy.members import Members
from serverside.redundancy.slowness import WINDOW_MOST_S, WINDOW_S, Judge, Load, Step, says_something

SECOND_NS = 10**9


@dataclass(slots=True)
class Watch:
    """Over the drives of `members`. Call `look` often."""

    members: Members
    judge: Judge
    look_at_ns: int = 0
    began_ns: int = 0
    """Of the window."""
    slow_since_ns: int = 0
    before: dict[int, Load] | None = None

    def look(self) -> None:
        """If a window is over, judge it. Raise DriveError if the array stops."""
        now_ns = self.members.clock_ns()
        if now_ns < self.look_at_ns:
            return
        self.look_at_ns = now_ns + SECOND_NS
        if self.members.lost():
            self.before = None
            self._suspect_nobody()
            return
        counted = {place: self._counted(place) for place in range(self.members.layout.places)}
        if self.before is not None:
            loads = {place: _since(self.before[place], load) for place, load in counted.items()}
            lasted_s = (now_ns - self.began_ns) / SECOND_NS
            if lasted_s < WINDOW_S or (lasted_s < WINDOW_MOST_S and not says_something(loads)):
                return
            self._hear(loads, now_ns)
        self.before, self.began_ns = counted, now_ns

    def _counted(self, place: int) -> Load:
        row = self.members.board.rows[place]
        return Load(row.get("reads"), row.get("read_us"), row.get("stables"), row.get("stable_us"))

    def _hear(self, loads: dict[int, Load], now_ns: int) -> None:
        step, slow = self.judge.hear(loads, has_spare=bool(self.members.spares))
        if slow is None or self.judge.windows == 1:
            self.slow_since_ns = self.began_ns
        slow_s = (now_ns - self.slow_since_ns) // SECOND_NS
        for place, row in enumerate(self.members.board.rows):
            row.set("slow_s", slow_s if place == self.judge.place else 0)
        name = self.members.superblock.name
        if step == Step.ACQUIT:
            self.members.say(f"array {name}: place {self.members.withheld} is not slow any more, and stays")
            self.members.withhold(None)
        elif slow is not None and step == Step.TRY:
            self.members.say(
                f"array {name}: place {slow.place} is slow: {slow.words}, for {slow_s} s; now the owner alone reads "
                "it, and puts it out if it stays so"
            )
            self.members.withhold(slow.place)
        elif slow is not None and step == Step.PUT_OUT:
            self.members.put_out(slow.place, f"it is slow: {slow.words}, for {slow_s} s")
            self.members.withhold(None)

    def _suspect_nobody(self) -> None:
        self.judge.forget()
        for row in self.members.board.rows:
            row.set("slow_s", 0)
        self.members.withhold(None)


def _since(before: Load, now: Load) -> Load:
    return Load(*(new - old for old, new in zip(before, now, strict=True)))
