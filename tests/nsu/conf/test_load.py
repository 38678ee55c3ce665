"""Proves what a good file becomes, what it is warned of, and that no text at all raises anything but ConfErrors."""

import socket
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hostside.settings import DiskSettings, HostRoleSettings, ServerEntry
from nsu.conf.keys import KEYS
from nsu.conf.load import ConfErrors, Loaded, load_file, load_text, resolve_by_system
from nsu.conf.settings import MachineSettings
from serverside.settings import (
    ArraySettings,
    DataPortSettings,
    DriveSettings,
    HostSettings,
    PartitionSettings,
    ServerSettings,
)
from tests.nsu.conf.conftest import APPENDIX_D, ARRAYS, SECRET, no_name


def load(text: str, **known: tuple[str, ...]) -> Loaded:
    return load_text(text, Path("nsu.conf"), resolve=lambda name: known.get(name, ()))


FULL = """\
MACHINE box1                              # this machine
  STATE = /var/lib/other
  WEB   = 127.0.0.1:10080

NSU box1
  CONFIG_PORT     = 10011
  LISTEN          = 10.1.1.9
  PRIVILEGED_PORT = no

ARRAY unit0
  LEVEL  = raid0
  DRIVE  = /srv/a.img(1GiB)
  DRIVE  = /srv/b.img(1GiB)
  STRIPE = 128KiB

HOST host1
  ADDRESS     = 10.1.1.20
  SECRET_FILE = {folder}/host1.key
  DATA_PORT   = [fe80::1]:10002(10)
  UNIT unit_1
    LBA    = unit0(0,99)
    ACCESS = read-only
    ZERO   = yes

SERVER box2
  ADDRESS     = 10.1.1.1
  ADDRESS     = 10.1.2.1
  CONFIG_PORT = 10012
  LOGIN       = me
  SECRET_FILE = {folder}/host2.key
  CONNECTIONS = 8
  ON_NO_PATH  = fail after 60 s
  DISK unit_1
    SHOW   = socket
    AT     = {folder}/unit_1.sock
    NUMBER = 7
"""


def test_every_key_arrives(folder: Path) -> None:
    path = folder / "nsu.conf"
    path.write_text(FULL.replace("{folder}", str(folder)))
    loaded = load_file(path)
    drives = (DriveSettings(Path("/srv/a.img"), 1 << 30), DriveSettings(Path("/srv/b.img"), 1 << 30))
    unit = PartitionSettings("unit_1", "unit0", 0, 99, read_only=True, zero=True)
    host = HostSettings("host1", ("10.1.1.20",), SECRET, (DataPortSettings("fe80::1", 10002, 10),), (unit,))
    disk = DiskSettings("unit_1", 7, "socket", folder / "unit_1.sock")
    addresses = ("10.1.1.1", "10.1.2.1")
    entry = ServerEntry("box2", addresses, 10012, "me", SECRET[::-1], 8, 60.0, (disk,))
    state = Path("/var/lib/other")
    assert loaded.machine == MachineSettings("box1", state, ("127.0.0.1", 10080))
    array = ArraySettings("unit0", "raid0", drives, (), 131072)
    assert loaded.server == ServerSettings("box1", state, 10011, ("10.1.1.9",), False, (array,), (host,))
    assert loaded.host == HostRoleSettings("box1", state, (entry,))
    assert loaded.warnings == ()


def test_defaults() -> None:
    loaded = load("SERVER box2\n  ADDRESS = 10.1.1.1\n  DISK a\n  DISK b\n")
    name = socket.gethostname()
    assert loaded.machine == MachineSettings(name, Path("/var/lib/nsu"), None)
    assert loaded.server is None
    run = Path("/run/nsu")
    disks = (DiskSettings("a", 0, "socket", run / "a.sock"), DiskSettings("b", 1, "socket", run / "b.sock"))
    entry = ServerEntry("box2", ("10.1.1.1",), 10001, name, None, 4, None, disks)
    assert loaded.host == HostRoleSettings(name, Path("/var/lib/nsu"), (entry,))


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


def warnings_of(text: str, **known: tuple[str, ...]) -> str:
    return "\n".join(load(text, **known).warnings)


V1_HOST = "HOST host1\n  DATA_PORT = 10.1.1.1:10002(10)\n"


def test_a_host_without_secret_is_said_to_be_unprotected() -> None:
    assert "HOST host1 is not protected" in warnings_of(V1_HOST, host1=("10.1.1.20",))
    assert "SERVER box2 is not protected" in warnings_of("SERVER box2\n  ADDRESS = 10.1.1.1\n")


def test_a_name_that_does_not_resolve_is_no_reason_to_serve_nobody() -> None:
    assert "HOST host1 cannot come in" in warnings_of(V1_HOST)
    assert "cannot come in" not in warnings_of(V1_HOST + "  ADDRESS = 10.1.1.20\n")
    server = load(V1_HOST.replace("host1", "10.1.1.20")).server
    assert server is not None
    assert server.hosts[0].addresses == ("10.1.1.20",)


def test_sharing_is_warned_of_only_when_both_write() -> None:
    two = ARRAYS + "".join(
        f"HOST h{n}\n  ADDRESS = 10.1.1.2{n}\n  DATA_PORT = 10.1.1.1:10002(10)\n  UNIT u\n    LBA = unit0(0,9)\n"
        for n in (1, 2)
    )
    assert "is written by more than one host" in warnings_of(two)
    assert "is written by" not in warnings_of(two + "    ACCESS = read-only\n")


def test_other_warnings(folder: Path) -> None:
    host = f"  DATA_PORT = 10.1.1.1:10002(10)\n  SECRET_FILE = {folder}/host1.key\n"
    assert "have the same secret" in warnings_of(f"HOST a\n{host}HOST b\n{host}")
    assert "asks nobody who he is" in warnings_of("MACHINE box1\n  WEB = 0.0.0.0:80\nNSU box1\n")
    assert "gives this machine no role" in warnings_of("MACHINE box1\n")
    assert "a spare is of no use" in warnings_of(ARRAYS + "  SPARE = /dev/null\n")
    assert "is not there now" in warnings_of("ARRAY a\n  DRIVE = /nowhere/drive\n")
    server = "SERVER b\n  ADDRESS = 10.1.1.1\n  ADDRESS = 10.1.1.2\n"
    assert "cannot use all 2 addresses" in warnings_of(server + "  CONNECTIONS = 1\n")
    assert "cannot use all" not in warnings_of(server + "  CONNECTIONS = 2\n")
    assert "becomes an I/O error" in warnings_of(server + "  ON_NO_PATH = fail after 5 s\n")


def test_all_errors_of_a_file_in_one_go_in_the_order_of_the_lines() -> None:
    with pytest.raises(ConfErrors) as error:
        load("NSU box1\n  LISTEN = here\n  CONFIG_PORT = 0\nARRAY a\nnonsense\n")
    assert [(one.line, one.key) for one in error.value.errors] == [
        (2, "LISTEN"),
        (3, "CONFIG_PORT"),
        (4, "DRIVE"),
        (5, "nonsense"),
    ]
    assert str(error.value).splitlines()[1] == (
        "nsu.conf:3: CONFIG_PORT: 0 is out of range for a port; a port from 1 to 65535"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "0: file: says nothing"),
        (b"# only words\n", "0: file: says nothing"),
        (b"NSU box1\n# caf\xe9\n", "2: text: the byte 0xe9 is not UTF-8"),
        (b"#" * ((4 << 20) + 1), "0: file: is too large"),
    ],
)
def test_files_that_are_no_configuration(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "nsu.conf"
    path.write_bytes(content)
    with pytest.raises(ConfErrors) as error:
        load_file(path)
    assert str(error.value).startswith(f"{path}:{message}")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfErrors, match="No such file"):
        load_file(tmp_path / "nsu.conf")


def test_the_fingerprint_is_of_the_settings_and_not_of_the_layout(folder: Path) -> None:
    text = FULL.replace("{folder}", str(folder))
    before = load(text).fingerprint
    assert load("# other words\n" + text.replace("  ", "\t")).fingerprint == before
    assert load(text.replace("(0,99)", "(0,98)")).fingerprint != before
    (folder / "host1.key").write_text("ab" * 32)
    assert load(text).fingerprint != before, "a changed secret is a change"


def test_localhost_resolves_by_the_system() -> None:
    assert set(resolve_by_system("localhost")) & {"127.0.0.1", "::1"}


def test_settings_stay_hashable_and_comparable() -> None:
    server = load(APPENDIX_D + ARRAYS).server
    assert server is not None
    assert hash(server) == hash(replace(server))


names = st.sampled_from(["a", "b", "unit0", "host1", "10.1.1.2", "-", "x" * 70])
kinds = st.sampled_from(["MACHINE", "NSU", "ARRAY", "HOST", "UNIT", "SERVER", "DISK", "host", "LBA"])
texts = st.sampled_from([text for key in KEYS for text in key.example] + ["0", "x", "unit0(5,20)", "/", "/proc/1/mem"])
keys = st.sampled_from([key.name for key in KEYS] + ["Lba", "PORT"])
indents = st.sampled_from(["", "", "  ", "  ", "    ", " "])
generated = st.lists(
    st.one_of(
        st.builds("{}{} {}".format, indents, kinds, names),
        st.builds("{}{} = {}".format, indents, keys, texts),
        st.text(max_size=20),
    ),
    max_size=25,
).map("\n".join)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.one_of(st.text(), generated))
@example("HOST a\n  ADDRESS = 1\n UNIT b\n")
def test_any_text_loads_or_raises_conf_errors(text: str) -> None:
    for line in errors_in(text):
        assert line.startswith("nsu.conf:")
        assert "; " in line


def errors_in(text: str) -> list[str]:
    try:
        load_text(text, Path("nsu.conf"), resolve=no_name)
    except ConfErrors as error:
        return str(error).split("\n")
    return []
