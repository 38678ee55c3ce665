"""Proves that the list shows who has and who uses a partition, and what of each array is free."""

import json

from nsu.partitions.listing import listing
from tests.nsu.partitions.conftest import CONF, facts, uuid


def test_the_list() -> None:
    told = json.loads(json.dumps(listing(CONF, facts(written={uuid(102): 7}))))
    first, second = told["partitions"]
    assert (first["uuid"], first["in_use_by"], first["written_blocks"]) == (uuid(101), ["host1"], None)
    assert (second["in_use_by"], second["written_blocks"]) == ([], 7)
    assert told["arrays"] == [
        {"name": "unit0", "blocks": 32768, "free": [{"first_lba": 6144, "last_lba": 32767, "blocks": 26624}]}
    ]


def test_of_a_machine_that_does_not_run() -> None:
    told = listing(CONF.replace("/srv/drive0.img(16MiB)", "/dev/sdb"))
    assert told["arrays"] == [{"name": "unit0", "blocks": None, "free": None}]
    assert told["partitions"][0]["uuid"] is None
