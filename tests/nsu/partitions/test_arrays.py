"""Proves that the size of an array is what the server says, else what its drives declare, else not known."""

import pytest

from nsu.partitions.arrays import capacities_of, free_of
from nsu.partitions.errors import Refused
from serverside.partitions.space import Extent
from tests.nsu.partitions.conftest import ARRAY_BLOCKS, CONF, facts

DEVICE = CONF.replace("/srv/drive0.img(16MiB)", "/dev/sdb")


def test_sizes_are_declared_or_told() -> None:
    assert capacities_of(CONF) == {"unit0": ARRAY_BLOCKS}
    assert capacities_of(CONF, facts(capacities={"unit0": 30000})) == {"unit0": 30000}
    assert capacities_of(DEVICE) == {"unit0": None}
    assert capacities_of(CONF.replace("16MiB", "16 things")) == {"unit0": None}


def test_what_is_free() -> None:
    assert free_of(CONF, "unit0") == [Extent(6144, ARRAY_BLOCKS - 1)]
    assert free_of(DEVICE, "unit0", facts()) == [Extent(6144, ARRAY_BLOCKS - 1)]
    with pytest.raises(Refused, match="only a running NSU knows"):
        free_of(DEVICE, "unit0")
