"""The arrays that partitions are cut from: how large they are, and what of them is free (Figure 8, partition 0)."""

from collections.abc import Mapping
from pathlib import Path

from nsu.conf import keys
from nsu.conf.errors import Findings
from nsu.conf.reader import BlockReader, default_of
from nsu.conf.sharing import capacity_most
from nsu.conf.syntax import Block, Document, same_kind
from nsu.partitions.errors import Refused
from nsu.partitions.facts import NO_FACTS, Facts
from nsu.partitions.view import partitions_of
from serverside.partitions.space import Extent, free_extents
from serverside.settings import ArraySettings


def capacities_of(text: str, facts: Facts = NO_FACTS) -> Mapping[str, int | None]:
    """Give array -> blocks: as it is open now, else by the declared sizes of its drives; None: nobody knows."""
    arrays = same_kind(Document(text).blocks, "ARRAY")
    return {block.name: facts.capacities.get(block.name) or _declared(block) for block in arrays}


def free_of(text: str, array: str, facts: Facts = NO_FACTS) -> list[Extent]:
    """Give the free pieces of an array.

    Raises:
        Refused: its size is not known while it is not open.

    """
    capacity = capacities_of(text, facts).get(array)
    if capacity is None:
        raise Refused(f"how large {array} is, only a running NSU knows (its drives are devices): start it with nsu run")
    return free_extents(capacity, [each.extent for each in partitions_of(text) if each.range.array == array])


def _declared(block: Block) -> int | None:
    findings = Findings(Path())
    reader = BlockReader(block, findings)
    drives = tuple(given.value for given in reader.many(keys.DRIVE))
    level = reader.one_or_default(keys.LEVEL)
    stripe = reader.one(keys.STRIPE)
    stripe_bytes = default_of(keys.STRIPE) if stripe is None else stripe.value
    return None if findings.errors else capacity_most(ArraySettings(block.name, level, drives, (), stripe_bytes))
