"""Random lives of the partitions of an nsu.conf beside a plain model: no overlap, no leak, best fit, limits, UUIDs.

The verbs work on the text, as people's do. The model knows who has which blocks, and tries all places for the best.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nsu.conf.load import load_text
from nsu.partitions.errors import Refused
from nsu.partitions.facts import Facts
from nsu.partitions.size import Size
from nsu.partitions.verbs import Creation, Grant, assign, chown, create, delete, rename, resize, share, unassign
from nsu.partitions.view import Partition, partitions_of
from tests.nsu.conf.conftest import no_name

HOSTS = ("h0", "h1", "h2")
UNITS_MOST = 16
BLOCKS = 64
CONF = "# kept\nARRAY unit0\n  DRIVE = /srv/a(32KiB)   # kept, too\n" + "".join(
    f"HOST {name}\n  ADDRESS = 10.1.1.2{n}\n  DATA_PORT = 10.1.1.1:10002(1)\n" for n, name in enumerate(HOSTS)
)


@dataclass(frozen=True)
class Had:
    """One partition of the model."""

    first: int
    blocks: int
    names: dict[str, str]
    """Host -> what it calls it; the empty host is nobody."""


@dataclass
class Model:
    """What there is, by UUID."""

    all: dict[str, Had] = field(default_factory=dict)

    def units(self, host: str) -> list[str]:
        return [had.names[host] for had in self.all.values() if host in had.names]

    def taken(self) -> set[int]:
        return {block for had in self.all.values() for block in range(had.first, had.first + had.blocks)}

    def best(self, blocks: int) -> int | None:
        """The smallest piece that holds it; an even start before another, the first of equals."""
        taken = self.taken()
        pieces, first = [], None
        for block in range(BLOCKS + 1):
            if block < BLOCKS and block not in taken:
                first = block if first is None else first
            elif first is not None:
                pieces.append((block - first, first, block))
                first = None
        for step in (2048, 8, 1):
            starts = [
                (size, -(-first // step) * step)
                for size, first, end in pieces
                if -(-first // step) * step + blocks <= end
            ]
            if starts:
                return min(starts)[1]
        return None

    def may_give(self, uuid: str, host: str, name: str) -> bool:
        return host not in self.all[uuid].names and len(self.units(host)) < UNITS_MOST and name not in self.units(host)


class Life:
    """One life: each deed by the verb, and by the model; both must agree whether it can be done."""

    def __init__(self, luck: Random) -> None:
        numbers = count(1)
        self.luck = luck
        self.uuids = (f"00000000-0000-4000-8000-{number:012d}" for number in numbers)
        self.facts = Facts(new_uuid=lambda: next(self.uuids))
        self.model, self.text = Model(), CONF

    def live(self, deeds: int) -> None:
        for _ in range(deeds):
            self.luck.choice(
                [self.create, self.create, self.delete, self.resize, self.rename, self.give, self.share, self.free]
            )()
            self.check()

    def one(self) -> tuple[str, Partition] | None:
        known = partitions_of(self.text)
        if not known:
            return None
        found = self.luck.choice(known)
        return found.uuid, found

    def create(self) -> None:
        blocks, host, name = self.luck.randint(1, 20), self.luck.choice(["", *HOSTS]), f"p{self.luck.randrange(30)}"
        place = self.model.best(blocks)
        can = place is not None and name not in self.model.units(host)
        can = can and (not host or len(self.model.units(host)) < UNITS_MOST)
        grants = [Grant(host)] if host else []
        before = set(self.model.all)
        text = self.attempt(can, lambda: create(self.text, Creation(name, Size(blocks), "", grants), self.facts))
        if text is not None:
            assert place is not None
            (fresh,) = {each.uuid for each in partitions_of(text)} - before
            self.model.all[fresh] = Had(place, blocks, {host: name})

    def delete(self) -> None:
        if found := self.one():
            self.attempt(True, lambda: delete(self.text, found[0]))
            del self.model.all[found[0]]

    def resize(self) -> None:
        if found := self.one():
            uuid, blocks = found[0], self.luck.randint(1, 30)
            had = self.model.all[uuid]
            others = {b for u, h in self.model.all.items() if u != uuid for b in range(h.first, h.first + h.blocks)}
            wanted = range(had.first, had.first + blocks)
            can = blocks != had.blocks and had.first + blocks <= BLOCKS and others.isdisjoint(wanted)
            if self.attempt(can, lambda: resize(self.text, uuid, Size(blocks), self.facts)) is not None:
                self.model.all[uuid] = replace(had, blocks=blocks)

    def rename(self) -> None:
        if found := self.one():
            uuid, name = found[0], f"p{self.luck.randrange(30)}"
            had = self.model.all[uuid]
            can = all(name not in self.model.units(host) for host in had.names)
            if self.attempt(can, lambda: rename(self.text, uuid, name, self.facts)) is not None:
                self.model.all[uuid] = replace(had, names=dict.fromkeys(had.names, name))

    def give(self) -> None:
        """Assign, or change the owner."""
        if found := self.one():
            uuid, host = found[0], self.luck.choice(HOSTS)
            had = self.model.all[uuid]
            name = next(iter(had.names.values()))
            can = len(had.names) == 1 and self.model.may_give(uuid, host, name)
            if "" in had.names:
                text = self.attempt(can, lambda: assign(self.text, uuid, Grant(host), self.facts))
            else:
                text = self.attempt(can, lambda: chown(self.text, uuid, host, self.facts))
            if text is not None:
                self.model.all[uuid] = replace(had, names={host: name})

    def share(self) -> None:
        if (found := self.one()) and found[1].hosts:
            uuid, host = found[0], self.luck.choice(HOSTS)
            had, name = self.model.all[uuid], found[1].name
            can = self.model.may_give(uuid, host, name)
            grant = Grant(host, read_only=True)
            if self.attempt(can, lambda: share(self.text, uuid, grant, facts=self.facts)) is not None:
                self.model.all[uuid] = replace(had, names={**had.names, host: name})

    def free(self) -> None:
        if (found := self.one()) and found[1].hosts:
            uuid, had = found[0], self.model.all[found[0]]
            can = found[1].name not in self.model.units("")
            if self.attempt(can, lambda: unassign(self.text, uuid, facts=self.facts)) is not None:
                self.model.all[uuid] = replace(had, names={"": found[1].name})

    def attempt(self, can: bool, verb: Callable[[], str]) -> str | None:
        """Do it if it can be done; a refusal that the model does not expect, or the other way round, ends the life."""
        try:
            text = verb()
        except Refused:
            assert not can, self.text
            return None
        assert can, f"{self.text}\n-- became --\n{text}"
        self.text = text
        return text

    def check(self) -> None:
        """File and model say the same."""
        said = {
            each.uuid: Had(each.range.first_lba, each.blocks, {use.host: use.unit for use in each.uses})
            for each in partitions_of(self.text)
        }
        assert said == self.model.all
        assert sum(had.blocks for had in said.values()) == len(self.model.taken()), "two have one block"
        assert self.text.startswith("# kept\n")
        assert "# kept, too" in self.text


def live(seed: int, deeds: int) -> None:
    life = Life(Random(seed))
    life.live(deeds)
    load_text(life.text, Path("nsu.conf"), resolve=no_name)


seeds = st.integers(0, 1 << 40)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seeds, st.integers(1, 25))
def test_random_lives(seed: int, deeds: int) -> None:
    live(seed, deeds)


@pytest.mark.soak
@settings(max_examples=20_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seeds, st.integers(1, 25))
def test_twenty_thousand_lives(seed: int, deeds: int) -> None:
    live(seed, deeds)


def test_a_life_that_fills_everything() -> None:
    """Sixteen each for three hosts, and no seventeenth."""
    text, facts = CONF.replace("32KiB", "1MiB"), Facts()
    for host in HOSTS:
        for number in range(UNITS_MOST):
            text = create(text, Creation(f"u{number}", Size(1), "", [Grant(host)]), facts)
        with pytest.raises(Refused, match="has 16 partitions"):
            create(text, Creation("more", Size(1), "", [Grant(host)]), facts)
    for number in range(100 - 3 * UNITS_MOST):
        text = create(text, Creation(f"n{number}", Size(1)), facts)
    with pytest.raises(Refused, match="there are 100 partitions"):
        create(text, Creation("more", Size(1)), facts)
    load_text(text, Path("nsu.conf"), resolve=no_name)
