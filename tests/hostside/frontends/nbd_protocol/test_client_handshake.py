"""Proves: the client opens what the server has, at any cut, understands a no, and believes no noise."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostside.frontends.nbd_protocol.client_handshake import TRANSITIONS, ClientHandshake, Phase
from hostside.frontends.nbd_protocol.errors import ExportRefusedError, FrameInDoubtError
from hostside.frontends.nbd_protocol.export import export_of
from hostside.frontends.nbd_protocol.handshake import Phase as ServerPhase
from hostside.frontends.nbd_protocol.handshake import ServerHandshake
from tests.hostside.frontends.memory_driver import unit_of


def talk(client: ClientHandshake, server: ServerHandshake, step: int) -> None:
    said = b""
    while client.phase is not Phase.TRANSMISSION:
        said += server.data_to_send()
        size = min(step, client.missing_bytes())
        assert len(said) >= size > 0, "it waits for what never comes"
        client.receive(said[:size])
        said = said[size:]
        server.receive(client.data_to_send())
    assert said == b"", "the client leaves the transmission phase its bytes"


def hear(client: ClientHandshake, said: bytes) -> None:
    while said:
        size = client.missing_bytes()
        client.receive(said[:size])
        said = said[size:]


def server() -> ServerHandshake:
    return ServerHandshake(lambda: export_of("unit_1", unit_of(1 << 20)))


@pytest.mark.parametrize("step", [1, 3, 1000])
@pytest.mark.parametrize("name", ["", "unit_1"])
def test_it_opens(name: str, step: int) -> None:
    client, other = ClientHandshake(name), server()
    talk(client, other, step)
    assert other.phase is ServerPhase.TRANSMISSION
    opened = client.opened
    assert (opened.size_bytes, opened.structured, opened.block_bytes_min) == (1 << 20, True, 512)
    assert other.export is not None
    assert int(opened.flags) == other.flags_of(other.export)


def test_a_no_comes_with_its_sentence() -> None:
    with pytest.raises(ExportRefusedError, match="There is no export 'other' here; this socket has 'unit_1'"):
        talk(ClientHandshake("other"), server(), 1000)


@settings(deadline=None)
@given(st.binary(min_size=200, max_size=300), st.booleans())
def test_noise_is_not_believed(noise: bytes, greeted: bool) -> None:
    client = ClientHandshake("")
    if greeted:
        noise = b"NBDMAGICIHAVEOPT\0\3" + noise
    with pytest.raises(FrameInDoubtError):
        hear(client, noise)


def test_the_table_leads_to_the_transmission_phase() -> None:
    reached, todo = set(), [Phase.GREETING]
    while todo:
        phase = todo.pop()
        if phase not in reached:
            reached.add(phase)
            todo += TRANSITIONS[phase].values()
    assert reached == set(Phase)
