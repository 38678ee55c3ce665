"""Proves that a search asks by every way of every interface, again and again, and goes on without what is missing."""

import socket
from uuid import uuid4

import pytest

from hostside.discovery import ASK_AGAIN_S, Search, search
from ipc.interfaces import links_up
from ipc.loop import Loop
from protocol.discovery.answer import Answer
from protocol.discovery.ways import Way
from serverside.discovery import Discovery
from serverside.settings import DiscoverySettings

WITHIN_S = 10.0
NAME = f"only-{uuid4().hex[:12]}"
"""Others on this machine may be found too."""


def test_an_nsu_of_this_machine_is_found_over_loopback_by_whoever_runs_it() -> None:
    loop = Loop()
    told = Answer(uuid4(), NAME, bytes(6), 10001, 2, True)
    responder = Discovery(loop, lambda _: told, lambda _: None)
    responder.look(DiscoverySettings(("lo",)))
    found = Search(loop, ["lo"], NAME)
    found.start()
    loop.after_each(lambda: loop.stop() if found.catalogue.rows() else None)
    loop.call_later(WITHIN_S, loop.stop)
    loop.run()
    (row,) = found.catalogue.rows()
    assert (row.answer, row.ways, row.interfaces) == (told, {Way.MULTICAST_V4}, {"lo"})
    found.close()
    found.close()
    responder.close()
    loop.close()


def test_it_asks_as_often_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = Loop()
    found = Search(loop, ["lo"])
    asked: list[float] = []
    monkeypatch.setattr(found, "ask", lambda: asked.append(loop.now()))
    found.start()
    loop.call_later(max(ASK_AGAIN_S) + 0.3, loop.stop)
    loop.run()
    assert len(asked) == len(ASK_AGAIN_S)
    found.close()
    loop.close()


def test_without_the_right_to_ethernet_the_other_ways_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.socket

    def refuse(family: int, *rest: int) -> socket.socket:
        if family == socket.AF_PACKET:
            raise PermissionError(1, "Operation not permitted")
        return real(family, *rest)

    (lo,) = [link for link in links_up() or () if link.name == "lo"]
    card = type(lo)("lo", lo.index, b"\2\0\0\0\0\1", lo.networks)
    monkeypatch.setattr(socket, "socket", refuse)
    loop = Loop()
    found = Search(loop, read_links=lambda: (card,))
    assert ["CAP_NET_RAW" in trouble for trouble in found.troubles] == [True]
    assert not found.ethernet
    assert 4 in found.udp
    found.close()
    loop.close()


def test_an_interface_that_is_not_there_is_told() -> None:
    found = search(["nowhere"], 0.05)
    assert found.troubles == ["this machine has no interface nowhere that is up"]
    assert not found.catalogue.rows()
