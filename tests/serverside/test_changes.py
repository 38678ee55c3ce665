"""Proves which hosts a changed nsu.conf disturbs, and what of it has to wait for the next start."""

from dataclasses import replace
from pathlib import Path

import pytest

from serverside.changes import can_stay, differences, disturbed, possible
from serverside.settings import HostSettings, ServerSettings
from tests.serverside.rig import host, settings, unit

FOLDER = Path("/nowhere")
A = host("a", units=[unit("one", 8, 0), unit("two", 8, 8)], ports=[(10002, 4)])
B = host("b", units=[unit("one", 8, 16)], ports=[(10002, 4)])


def both(*hosts: HostSettings) -> ServerSettings:
    return settings(FOLDER, *hosts)


@pytest.mark.parametrize(
    "changed",
    [
        replace(A, units=(unit("one", 8, 0), unit("two", 9, 8))),
        replace(A, units=tuple(reversed(A.units))),
        replace(A, units=A.units[:1]),
        replace(A, units=(unit("one", 8, 0, read_only=True), A.units[1])),
        replace(A, data_ports=host(ports=[(10002, 5)]).data_ports),
        replace(A, secret=None),
        replace(A, secret=bytes(32)),
        replace(A, addresses=("127.0.0.9",)),
    ],
)
def test_only_the_host_that_changed_is_disturbed(changed: HostSettings) -> None:
    assert disturbed(both(A, B), both(changed, B)) == {"a"}
    assert disturbed(both(A, B), both(B, changed)) == {"a"}


def test_a_host_that_goes_is_disturbed_and_one_that_comes_disturbs_nobody() -> None:
    assert disturbed(both(A, B), both(B)) == {"a"}
    assert disturbed(both(B), both(A, B)) == frozenset()
    assert disturbed(both(A, B), both(A, B)) == frozenset()
    assert disturbed(both(A, B), both(A, replace(B, name="c"))) == {"b"}


def test_who_shares_a_range_is_disturbed_when_its_zero_map_comes_or_goes() -> None:
    """One view of a range for all: with ZERO at one host, the other's SRWs must go by the same map."""
    plain, zeroed = (host("b", units=[unit("theirs", 8, 0, zero=zero)]) for zero in (False, True))
    assert disturbed(both(A, plain), both(A, zeroed)) == {"a", "b"}
    assert disturbed(both(A, zeroed), both(A)) == {"a", "b"}
    assert disturbed(both(A), both(A, zeroed)) == {"a"}
    elsewhere = host("b", units=[unit("theirs", 8, 16, zero=True)])
    assert disturbed(both(A, B), both(A, elsewhere)) == {"b"}


def test_a_longer_zero_map_disturbs_all_who_use_it() -> None:
    first = host("b", units=[unit("theirs", 8, 0, zero=True)])
    grown = host("b", units=[unit("theirs", 9, 0, zero=True)])
    assert disturbed(both(A, first), both(A, grown)) == {"a", "b"}


def test_what_holds_from_start_to_end_is_kept_with_a_warning() -> None:
    old = both(A)
    wanted = replace(old, name="x", config_port=7, listen=("127.0.0.2",), arrays=(), privileged_port=True, hosts=(B,))
    now, warnings = possible(old, wanted)
    assert now == replace(old, privileged_port=True, hosts=(B,))
    assert [sentence.split()[0] for sentence in warnings] == ["NSU", "CONFIG_PORT", "LISTEN", "ARRAY"]
    assert possible(old, both(B)) == (both(B), [])


def test_who_may_stay() -> None:
    assert can_stay(A, 2, replace(A, units=()))
    assert not can_stay(A, 2, None)
    assert not can_stay(A, 2, replace(A, secret=bytes(32)))
    assert not can_stay(A, 2, replace(A, secret=None))
    without = replace(A, secret=None)
    assert not can_stay(without, 1, without)


def test_what_changed_is_named() -> None:
    grown = replace(A, units=A.units[:1], data_ports=host(ports=[(10002, 5)]).data_ports)
    new = replace(both(grown, replace(B, name="c")), privileged_port=not both(A, B).privileged_port)
    port = "yes" if new.privileged_port else "no"
    assert differences(both(A, B), new) == [
        "HOST c added",
        "HOST b removed",
        "HOST a changed (DATA_PORT, UNIT)",
        f"PRIVILEGED_PORT = {port}",
    ]
    assert differences(both(A, B), both(replace(A, secret=bytes(32)), B)) == ["HOST a changed (SECRET_FILE)"]
    assert differences(both(A, B), both(B, A)) == ["the order of the HOSTs"]
