"""The tables are closed, lead to CLOSED from everywhere, and CLOSED leads nowhere."""

from enum import Enum
from typing import cast

import pytest

from protocol.states import CONFIG_HOST, CONFIG_SERVER, DATA, Config, Data, Happening

AnyTable = dict[Enum, dict[Happening, Enum]]
TABLES = [
    (cast(AnyTable, CONFIG_SERVER), Config.CLOSED),
    (cast(AnyTable, CONFIG_HOST), Config.CLOSED),
    (cast(AnyTable, DATA), Data.CLOSED),
]


def reachable(table: AnyTable, start: Enum) -> set[Enum]:
    seen = {start}
    fresh = [start]
    while fresh:
        following = set(table[fresh.pop()].values()) - seen
        seen |= following
        fresh += following
    return seen


@pytest.mark.parametrize(("table", "closed"), TABLES)
def test_each_state_can_end_and_the_end_is_final(table: AnyTable, closed: Enum) -> None:
    assert table[closed] == {}
    for state in table:
        assert closed in reachable(table, state)


@pytest.mark.parametrize(("table", "closed"), TABLES)
def test_each_state_can_be_reached_from_the_first(table: AnyTable, closed: Enum) -> None:
    assert reachable(table, next(iter(table))) == set(table)
