"""Which living children are of no more use: a parent's look at those whose heart has stopped.

A silent child is judged by what the kernel says of it, because a stopped one can say nothing itself and one at work
should not have to. So this costs the children nothing but the beats they make anyway.

| the kernel says | judgement |
|---|---|
| stopped, by a signal or by a debugger | of no use after `stopped_s` |
| it has used `spinning_s` of a processor in its own code since | it turns in a circle: of no use |
| in a system call | it waits, for a drive that takes long: left alone |
| it could run | the machine is busy: left alone |

Those left alone are of no use after `patience_s`, if that is given. And who was away himself, as this process may have
been, judges nobody by what he did not see (`ipc.silence`).
"""

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ipc.child import Child
from ipc.silence import Silence

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_STOPPED = frozenset("Tt")


class Doing(NamedTuple):
    """What the kernel says of a process (proc_pid_stat(5))."""

    state: str
    """R runs or could, S and D wait in a system call, T and t are stopped."""
    user_s: float
    """Time on a processor in its own code."""


@dataclass(slots=True)
class _Suspect:
    """A child, and since when it has not beaten."""

    silence: Silence
    user_s: float | None = None
    """What it had used of a processor when a beat was missed; None: none was."""
    told: bool = False


class Watch:
    """Looks at the children of this process; to be asked every `look_every_s`. Each useless one is told of once.

    `missed_s`: silence in which a beat was surely missed; longer than children are apart in their beats. `doing` asks
    the kernel, or answers for it.
    """

    def __init__(
        self,
        *,
        look_every_s: float,
        missed_s: float,
        stopped_s: float,
        spinning_s: float,
        patience_s: float | None,
        doing: Callable[[int], Doing | None] | None = None,
    ) -> None:
        self.look_every_s = look_every_s
        self.missed_s = missed_s
        self.stopped_s = stopped_s
        self.spinning_s = spinning_s
        self.patience_s = patience_s
        self.doing = doing or doing_of
        self._suspects: dict[Child, _Suspect] = {}

    def useless(self, children: Iterable[Child]) -> list[tuple[Child, str]]:
        """Give those that are found to be of no more use, each with the reason in words."""
        now_s = time.monotonic()
        before, self._suspects = self._suspects, {}
        found = []
        for child in children:
            suspect = before.get(child) or _Suspect(Silence(self.look_every_s))
            self._suspects[child] = suspect
            silent_s = suspect.silence.look(child.silent_s(now_s))
            if silent_s < self.missed_s:
                suspect.user_s = None
            elif not suspect.told and (doing := self.doing(child.pid)) is not None:
                why = self._judge(suspect, doing, silent_s)
                suspect.told = bool(why)
                found += [(child, why)] if why else []
        return found

    def _judge(self, suspect: _Suspect, doing: Doing, silent_s: float) -> str:
        if suspect.user_s is None:
            suspect.user_s = doing.user_s
        if doing.state in _STOPPED and silent_s >= self.stopped_s:
            return f"it was stopped, for {silent_s:.0f} s"
        if doing.user_s - suspect.user_s >= self.spinning_s:
            return f"it turned in a circle, for {silent_s:.0f} s"
        if self.patience_s is not None and silent_s >= self.patience_s:
            return f"it was silent for {silent_s:.0f} s"
        return ""


def doing_of(pid: int) -> Doing | None:
    """Ask the kernel; None when there is no such process any more."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # its name, in brackets before, may have any characters
    return Doing(fields[0], int(fields[11]) / _TICKS_PER_S)
