"""A data port is 28 bytes in either family, equal to its declaration, and no bytes break the reader."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import RemoteProtocolError
from protocol.limits import U32_MAX
from protocol.records import DataPort, pack_capacities, pack_ports, unpack_capacities, unpack_ports
from protocol.v1.layout import CAPACITIES, Z_GET_DATAPORT

ports = st.builds(
    DataPort,
    address=st.ip_addresses().map(str),
    port=st.integers(1, 65535),
    connections_max=st.integers(0, U32_MAX),
)


@given(st.lists(ports, max_size=5))
def test_ports_come_back_as_they_went(given_ports: list[DataPort]) -> None:
    data = pack_ports(given_ports)
    assert len(data) == 28 * len(given_ports)
    assert list(unpack_ports(data)) == given_ports


@given(ports)
def test_the_fast_record_is_the_declared_one(port: DataPort) -> None:
    declared = Z_GET_DATAPORT.parse(pack_ports([port]))
    assert (declared.portnum, declared.max_connections) == (port.port, port.connections_max)
    assert declared.ip_type == (6 if ":" in port.address else 4)
    assert pack_ports([port]) == Z_GET_DATAPORT.build(declared)


records = st.builds(
    lambda ip_type, address, port: ip_type.to_bytes(4, "big") + address + port.to_bytes(4, "big") + bytes(4),
    st.integers(0, 8),
    st.binary(min_size=16, max_size=16),
    st.integers(0, 70000),
)


@given(records | st.binary(min_size=28, max_size=28))
def test_any_28_bytes_are_a_port_or_a_sentence(data: bytes) -> None:
    fields = Z_GET_DATAPORT.parse(data)
    if fields.ip_type in (4, 6) and 0 < fields.portnum <= 65535:
        assert unpack_ports(data)[0].port == fields.portnum
    else:
        with pytest.raises(RemoteProtocolError, match="data port"):
            unpack_ports(data)


def test_an_unknown_family_is_refused() -> None:
    record = Z_GET_DATAPORT.build({"ip_type": 5, "address": bytes(16), "portnum": 1, "max_connections": 1})
    with pytest.raises(RemoteProtocolError, match="ip_type 5"):
        unpack_ports(record)


@given(st.lists(st.integers(0, 2**64 - 1), max_size=9))
def test_capacities_are_the_declared_list(sizes: list[int]) -> None:
    data = pack_capacities(sizes)
    assert data == CAPACITIES.build(sizes)
    assert list(unpack_capacities(data)) == sizes
