"""How many partitions there may be: the sentences of a verb that would go beyond."""

from collections import Counter
from collections.abc import Iterator, Sequence

from nsu.conf.sharing import PARTITIONS_MOST, UNITS_OF_HOST_MOST
from nsu.partitions.view import partitions_of, unit_blocks


def limits_broken(text: str, *, more: int, hosts: Sequence[str]) -> Iterator[str]:
    """Tell what breaks when there are so many more partitions, and each of these hosts has one unit more."""
    if len(partitions_of(text)) + more > PARTITIONS_MOST:
        yield f"there are {PARTITIONS_MOST} partitions, the most an NSU has (Appendix D, The Concept (3)): delete one"
    counts = Counter(host for host, _ in unit_blocks(text))
    for host in hosts:
        if host and counts[host] >= UNITS_OF_HOST_MOST:
            yield f"{host} has {UNITS_OF_HOST_MOST} partitions, the most a host has: unassign one first"
