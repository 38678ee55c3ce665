"""An nsu.conf with two hosts, and a machine on which it runs, as facts."""

import itertools
from collections.abc import Callable
from pathlib import Path

from nsu.partitions.facts import Facts
from nsu.partitions.plan import Plan, plan
from tests.nsu.conf.conftest import no_name

CONF = """\
MACHINE box1
  STATE = /var/lib/nsu

ARRAY unit0
  LEVEL = jbod
  DRIVE = /srv/drive0.img(16MiB)

# the hall
HOST host1
  ADDRESS   = 10.1.1.21
  DATA_PORT = 10.1.1.1:10002(10)
  UNIT first
    # do not touch
    LBA = unit0(0,2047)          # 1 MiB
  UNIT second
    LBA  = unit0(2048,6143)
    ZERO = yes

HOST host2
  ADDRESS   = 10.1.1.22
  DATA_PORT = 10.1.1.1:10002(10)
"""
ARRAY_BLOCKS = 32768


def uuid(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def counting() -> Callable[[], str]:
    """Gives uuids that can be told from each other."""
    numbers = itertools.count(1)
    return lambda: uuid(next(numbers))


def facts(**known: object) -> Facts:
    """A running NSU to which both hosts have logged in, host1 by 0x02 and host2 by 0x01."""
    units = {("host1", "first"): (uuid(101), "unit0", 0), ("host1", "second"): (uuid(102), "unit0", 2048)}
    usual = {
        "runs": True,
        "capacities": {"unit0": ARRAY_BLOCKS},
        "uuids": units,
        "sessions": {"host1": 2, "host2": 1},
        "attached": {"host1": frozenset({"first"}), "host2": None},
        "new_uuid": counting(),
    }
    return Facts(**{**usual, **known})  # type: ignore[arg-type]  # by name, as the tests say


def planned(old: str, new: str, known: Facts | None = None) -> Plan:
    return plan(old, new, known or facts(), path=Path("nsu.conf"), resolve=no_name)
