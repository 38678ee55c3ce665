"""Proves how an NSU is read: Appendix D's sample, its defaults, and what people are warned of."""

import pytest

from nsu.conf.load import ConfErrors
from tests.nsu.conf.conftest import APPENDIX_D, ARRAYS, load, warnings_of

V1_HOST = "HOST host1\n  DATA_PORT = 10.1.1.1:10002(10)\n"


def test_appendix_d_loads_byte_for_byte_once_its_arrays_are_declared() -> None:
    server = load(APPENDIX_D + ARRAYS, host1=("10.1.1.20",)).server
    assert server is not None
    assert (server.config_port, server.privileged_port) == (10001, True)
    assert server.listen == ("10.1.1.1", "10.1.2.1"), "the default: every address of the DATA_PORTs"
    (host,) = server.hosts
    assert (host.addresses, host.secret) == (("10.1.1.20",), None)
    assert [(port.address, port.port, port.connections_max) for port in host.data_ports] == [
        ("10.1.1.1", 10002, 10),
        ("10.1.2.1", 10002, 12),
    ]
    assert [(unit.name, unit.array, unit.blocks) for unit in host.units] == [
        ("unit_1", "unit0", 25429824),
        ("unit_2", "unit1", 1001),
        ("unit_3", "unit1", 25428823),
    ]


def test_appendix_d_without_arrays_names_each_unit() -> None:
    with pytest.raises(ConfErrors) as error:
        load(APPENDIX_D, host1=("10.1.1.20",))
    assert [(one.line, one.key) for one in error.value.errors] == [(5, "LBA"), (7, "LBA"), (9, "LBA")]


def test_a_host_without_secret_is_said_to_be_unprotected() -> None:
    words = "HOST host1 has no SECRET_FILE: it speaks version 0x01, which is not protected"
    assert words in warnings_of(V1_HOST, host1=("10.1.1.20",))


def test_a_name_that_does_not_resolve_is_no_reason_to_serve_nobody() -> None:
    assert "HOST host1 cannot come in" in warnings_of(V1_HOST)
    assert "cannot come in" not in warnings_of(V1_HOST + "  ADDRESS = 10.1.1.20\n")
    server = load(V1_HOST.replace("host1", "10.1.1.20")).server
    assert server is not None
    assert server.hosts[0].addresses == ("10.1.1.20",)


def test_any_block_of_the_role_makes_an_nsu() -> None:
    for text in ("NSU box1\n", ARRAYS, V1_HOST):
        server = load("MACHINE box1\n" + text).server
        assert server is not None
        assert server.name == "box1"
    assert load("SERVER box2\n  ADDRESS = 10.1.1.1\n").server is None


def test_drives_of_no_use_are_warned_of_and_absent_ones_are_not_the_files_fault() -> None:
    assert "a spare is of no use" in warnings_of(ARRAYS + "  SPARE = /dev/null\n")
    assert warnings_of("ARRAY a\n  DRIVE = /dev/null\n  DRIVE = /nowhere/made(1GiB)\n") == ""
    assert warnings_of("ARRAY a\n  DRIVE = /dev/shm/made(1GiB)\n") == "", "a file in memory"


@pytest.mark.parametrize(
    ("lines", "interfaces"),
    [((), ()), (("yes",), ()), (("no",), None), (("eth1",), ("eth1",)), (("eth1", "eth2"), ("eth1", "eth2"))],
)
def test_where_it_can_be_found(lines: tuple[str, ...], interfaces: tuple[str, ...] | None) -> None:
    server = load("NSU box1\n" + "".join(f"  DISCOVERY = {line}\n" for line in lines)).server
    assert server is not None
    assert (None if server.discovery is None else server.discovery.interfaces) == interfaces


def test_yes_and_no_stand_alone() -> None:
    with pytest.raises(ConfErrors, match="stands beside other lines"):
        load("NSU box1\n  DISCOVERY = no\n  DISCOVERY = eth1\n")
