"""A plan: what one text of nsu.conf changes of another, whom it disturbs, what is lost, and what speaks against it.

Pure: texts and facts in, data and sentences out. `apply.py` carries it out; the same plan is shown by the command line,
REST and the pages.

A refusal with `can_force` is a warning that somebody has to overrule by name (`--force`): data or users are concerned.
One without can't be had from the server that runs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nsu.conf.load import Loaded, load_text, resolve_by_system
from nsu.conf.server_role import Resolve
from nsu.partitions.differences import Change, changes_between
from nsu.partitions.facts import NO_FACTS, Facts
from nsu.partitions.guards import Refusal, refusals_of
from nsu.partitions.view import partitions_of
from serverside.changes import can_stay, differences, disturbed, keeps_a_key, possible
from serverside.settings import HostSettings, ServerSettings


@dataclass(frozen=True, slots=True)
class Disturbance:
    """What a host notices."""

    host: str
    version: int | None
    """Of its session; None: it is not logged in."""
    how: str
    """`told` (0x02 goes on), `cut off` (0x01 reruns the dialogue), `ended` (it can't log in again), `absent`."""
    sentence: str


@dataclass(frozen=True, slots=True)
class Plan:
    """All that is to be known before it is done."""

    old_text: str
    new_text: str
    changes: tuple[Change, ...]
    disturbed: tuple[Disturbance, ...]
    refusals: tuple[Refusal, ...]
    warnings: tuple[str, ...]
    """Of the new text, that the old one does not have."""
    later: tuple[str, ...]
    """What waits for the next start."""

    @property
    def loses(self) -> tuple[str, ...]:
        """Whose data is gone after it."""
        return tuple(change.loses for change in self.changes if change.loses)

    @property
    def is_empty(self) -> bool:
        """Nothing changes, not even a comment."""
        return self.old_text == self.new_text

    @property
    def cuts_off(self) -> bool:
        """Somebody who is logged in does not simply go on."""
        return any(each.how in ("cut off", "ended") for each in self.disturbed)

    @property
    def summary(self) -> tuple[str, ...]:
        """What it does, in sentences: what the history keeps."""
        return tuple(change.sentence for change in self.changes)

    def standing(self, *, force: bool) -> tuple[Refusal, ...]:
        """Give the refusals that stand, overruled or not."""
        return tuple(each for each in self.refusals if not (force and each.can_force))

    def as_dict(self) -> dict[str, Any]:
        """Give it as plain values, for JSON; without the texts."""
        return {
            "is_empty": self.is_empty,
            "changes": [asdict(change) for change in self.changes],
            "disturbed": [asdict(each) for each in self.disturbed],
            "refusals": [asdict(each) for each in self.refusals],
            "loses": list(self.loses),
            "warnings": list(self.warnings),
            "later": list(self.later),
        }


def plan(
    old_text: str,
    new_text: str,
    facts: Facts = NO_FACTS,
    *,
    path: Path = Path("nsu.conf"),
    resolve: Resolve = resolve_by_system,
) -> Plan:
    """Compare two texts of the file `path`.

    Raises:
        ConfErrors: one of them is not good; the first line of each error says where.

    """
    old, new = (load_text(text, path, resolve=resolve) for text in (old_text, new_text))
    changes = tuple(changes_between(partitions_of(old_text), partitions_of(new_text), facts))
    later, hosts, others = _of_server(old, new, facts)
    if not changes and old_text != new_text:
        others = others or list(later) or ["other lines of nsu.conf change; no partition does"]
    return Plan(
        old_text,
        new_text,
        (*changes, *(Change("other", "", sentence) for sentence in others)),
        hosts,
        tuple(refusals_of(partitions_of(old_text), partitions_of(new_text), facts, versions=_versions(old))),
        tuple(warning for warning in new.warnings if warning not in old.warnings),
        later,
    )


def _of_server(old: Loaded, new: Loaded, facts: Facts) -> tuple[tuple[str, ...], tuple[Disturbance, ...], list[str]]:
    """Give what waits for the next start, whom it disturbs, and what changes beside partitions."""
    waiting = [
        f"{what} have changed in nsu.conf: that takes effect at the next start"
        for what, is_so in (("MACHINE lines", old.machine != new.machine), ("SERVER blocks", old.host != new.host))
        if is_so
    ]
    if old.server is None or new.server is None:
        come_or_gone = [] if old.server is new.server else ["the server role comes or goes at the next start"]
        return (*waiting, *come_or_gone), (), []
    had, later = possible(old.server, new.server)
    later += waiting
    touched = disturbed(old.server, had)
    hosts = tuple(_disturbance(host, had, facts) for host in old.server.hosts if host.name in touched)
    # What becomes of UNITs is told by partitions.
    told = [] if had == old.server else [each.replace(", UNIT)", ")") for each in differences(old.server, had)]
    others = [each for each in told if "UNIT" not in each]
    return tuple(later), hosts, [each for each in others if not each.startswith("the order")]


def _disturbance(host: HostSettings, new: ServerSettings, facts: Facts) -> Disturbance:
    version = facts.sessions.get(host.name)
    now = next((each for each in new.hosts if each.name == host.name), None)
    if version is None:
        return Disturbance(host.name, None, "absent", f"{host.name} is not logged in, as far as can be told")
    if now is None or not keeps_a_key(host, now):
        why = "its HOST is gone" if now is None else "its secret is another"
        return Disturbance(host.name, version, "ended", f"{host.name} is cut off for good: {why}")
    if not can_stay(host, version, now):
        words = f"{host.name} (0x01) is cut off and reruns the dialogue; its requests wait meanwhile"
        return Disturbance(host.name, version, "cut off", words)
    words = f"{host.name} (0x02) is told and goes on; none of its requests fails that can still be served"
    return Disturbance(host.name, version, "told", words)


def _versions(loaded: Loaded) -> dict[str, int]:
    hosts: Sequence[HostSettings] = loaded.server.hosts if loaded.server else ()
    return {host.name: 1 if host.secret is None else 2 for host in hosts}


def plan_lines(found: Plan) -> Iterator[str]:
    """Tell a plan to people."""
    yield from (change.sentence for change in found.changes)
    yield from (f"LOST: {sentence}" for sentence in found.loses)
    yield from (each.sentence for each in found.disturbed if each.version is not None)
    yield from (f"warning: {sentence}" for sentence in found.warnings)
    yield from (f"later: {sentence}" for sentence in found.later)
