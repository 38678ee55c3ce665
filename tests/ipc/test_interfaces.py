"""Proves that a change of the machine's addresses is seen once, and that what this machine has is read right."""

import socket
from ipaddress import ip_address

import psutil
import pytest

from ipc.interfaces import Interfaces, addresses_up, links_up


def test_what_is_there_at_the_start_is_no_change_and_each_change_is_told_once() -> None:
    now: list[frozenset[tuple[str, str]] | None] = [frozenset({("a", "10.0.0.1"), ("b", "fd00::1")})]
    interfaces = Interfaces(lambda: now[-1])
    assert not interfaces.look().appeared
    now.append(frozenset({("a", "10.0.0.1"), ("c", "fd00::1"), ("c", "10.0.0.3")}))
    change = interfaces.look()
    assert change.appeared == {("c", "fd00::1"), ("c", "10.0.0.3")}
    assert change.vanished == {("b", "fd00::1")}
    assert change.addresses == {"fd00::1", "10.0.0.3"}
    assert interfaces.look() == interfaces.look()
    assert not interfaces.look().appeared


def test_a_system_that_does_not_tell_just_now_has_not_changed() -> None:
    now: list[frozenset[tuple[str, str]] | None] = [frozenset({("a", "10.0.0.1")}), None]
    interfaces = Interfaces(lambda: now[0])
    now.pop(0)
    assert not interfaces.look().vanished
    now[0] = frozenset({("a", "10.0.0.1")})
    assert not interfaces.look().appeared


def test_this_machine_has_its_loopback() -> None:
    found = addresses_up()
    assert found is not None
    assert ("lo", "127.0.0.1") in found
    for _, address in found:
        assert str(ip_address(address)) == address


def test_an_interface_that_is_down_has_no_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    states = {name: state._replace(isup=name != "lo") for name, state in psutil.net_if_stats().items()}
    monkeypatch.setattr(psutil, "net_if_stats", lambda: states)
    found = addresses_up()
    assert found is not None
    assert "lo" not in {name for name, _ in found}


def test_hardware_addresses_are_none_and_zones_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    (lo,) = [address for address in psutil.net_if_addrs()["lo"] if address.family is socket.AF_INET]
    addresses = [lo._replace(address=text) for text in ("00:00:5e:00:53:01", "fe80::1%lo", "FD00::000A")]
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: {"lo": addresses, "unknown": addresses})
    assert addresses_up() == frozenset({("lo", "fe80::1"), ("lo", "fd00::a")})


def test_the_links_that_are_up_have_index_mac_and_networks() -> None:
    found = {link.name: link for link in links_up() or ()}
    assert not found["lo"].is_ethernet
    assert "127.0.0.1/8" in map(str, found["lo"].networks)
    assert found["lo"].index == socket.if_nametoindex("lo")
    assert all(len(link.mac) in (0, 6) for link in found.values())


def test_a_system_that_does_not_tell_its_links_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise OSError

    monkeypatch.setattr(psutil, "net_if_stats", refuse)
    assert links_up() is None
