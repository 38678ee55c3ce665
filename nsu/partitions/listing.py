"""What `nsu partition list` and the pages show: partitions, who has and uses them, and what of each array is free."""

from typing import Any

from nsu.partitions.arrays import capacities_of
from nsu.partitions.differences import known_uuid
from nsu.partitions.facts import NO_FACTS, Facts
from nsu.partitions.view import Partition, partitions_of
from serverside.partitions.space import free_extents


def listing(text: str, facts: Facts = NO_FACTS) -> dict[str, Any]:
    """Give {"partitions": […], "arrays": […]} as plain values, for JSON."""
    partitions = partitions_of(text)
    return {
        "partitions": [_partition(each, facts) for each in partitions],
        "arrays": [
            {"name": name, "blocks": blocks, "free": _free(blocks, [e for e in partitions if e.range.array == name])}
            for name, blocks in capacities_of(text, facts).items()
        ],
    }


def _partition(partition: Partition, facts: Facts) -> dict[str, Any]:
    uuid = known_uuid(partition, facts) or None
    in_use_by = [use.host for use in partition.uses if facts.uses(use.host, use.unit)]
    return {
        **partition.as_dict(),
        "uuid": uuid,
        "in_use_by": in_use_by,
        "written_blocks": facts.written.get(uuid or ""),
    }


def _free(blocks: int | None, partitions: list[Partition]) -> list[dict[str, int]] | None:
    """Give the free pieces; None: the array's size is not known."""
    if blocks is None:
        return None
    pieces = free_extents(blocks, [each.extent for each in partitions])
    return [{"first_lba": piece.first_lba, "last_lba": piece.last_lba, "blocks": piece.blocks} for piece in pieces]
