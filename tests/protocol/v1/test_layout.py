"""The table in the module's docstring is the declaration: every offset, size and name, without a gap."""

import re

from protocol.v1 import layout

ROW = re.compile(r"^ +(\d+) +(\d+) (\w+)$", re.MULTILINE)
STRUCT = layout.ZNREQ


def test_the_drawn_table_is_the_declared_structure() -> None:
    assert layout.__doc__
    drawn = [(int(offset), int(size), name) for offset, size, name in ROW.findall(layout.__doc__)]
    offset, declared = 0, []
    for field in STRUCT.subcons:
        declared.append((offset, field.sizeof(), field.name))
        offset += field.sizeof()
    assert drawn == declared
    assert offset == 512
