"""Proves what a good file becomes, every error a bad one gives, and that no text raises anything but ConfErrors.

Bad files are data: bad/NAME.conf is bad as bad/NAME.expected says. In both, FOLDER stands for a folder with secrets
of several kinds (conftest.py).
"""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hostside.settings import DiskSettings, HostRoleSettings, ServerEntry
from nsu.conf.keys import KEYS
from nsu.conf.load import ConfErrors, load_file, load_text, resolve_by_system, state_dir_of
from nsu.conf.settings import MachineSettings
from serverside.settings import (
    ArraySettings,
    DataPortSettings,
    DiscoverySettings,
    DriveSettings,
    HostSettings,
    PartitionSettings,
    ServerSettings,
)
from tests.nsu.conf.conftest import APPENDIX_D, ARRAYS, SECRET, load, no_name, warnings_of

BAD = Path(__file__).parent / "bad"
CASES = sorted(path.stem for path in BAD.glob("*.conf"))


def messages_of(name: str, folder: Path) -> str:
    path = folder / f"{name}.conf"
    path.write_bytes((BAD / f"{name}.conf").read_bytes().replace(b"FOLDER", str(folder).encode()))
    with pytest.raises(ConfErrors) as error:
        load_file(path, resolve=no_name)
    return str(error.value).replace(f"{folder}/{name}.conf:", f"{name}.conf:").replace(str(folder), "FOLDER") + "\n"


@pytest.mark.parametrize("name", CASES)
def test_bad_file(name: str, folder: Path) -> None:
    assert messages_of(name, folder) == (BAD / f"{name}.expected").read_text(encoding="utf-8")


def test_no_bad_file_was_lost() -> None:
    assert len(CASES) >= 16
    assert sorted(path.stem for path in BAD.glob("*.expected")) == CASES


FULL = """\
MACHINE box1                              # this machine
  STATE = /var/lib/other
  WEB   = 127.0.0.1:10080

NSU box1
  CONFIG_PORT     = 10011
  LISTEN          = 10.1.1.9
  DISCOVERY = eth1
  DISCOVERY = eth2
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
  CONNECTIONS_MAX = 10
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
    entry = ServerEntry("box2", addresses, 10012, "me", SECRET[::-1], 8, 60.0, (disk,), extra_connections=2)
    state = Path("/var/lib/other")
    assert loaded.machine == MachineSettings("box1", state, ("127.0.0.1", 10080))
    array = ArraySettings("unit0", "raid0", drives, (), 131072)
    found = DiscoverySettings(("eth1", "eth2"))
    server = ServerSettings("box1", state, 10011, ("10.1.1.9",), False, (array,), (host,), discovery=found)
    assert loaded.server == server
    assert loaded.host == HostRoleSettings("box1", state, (entry,))
    assert loaded.warnings == ()


def test_what_is_said_of_the_machine() -> None:
    assert "gives this machine no role" in warnings_of("MACHINE box1\n")


TLS = "  WEB_CERTIFICATE = /etc/nsu.d/web.crt\n  WEB_KEY = /etc/nsu.d/web.key\n"


def test_web_leaves_the_machine_only_with_tls() -> None:
    outside = "MACHINE box1\n  WEB = 0.0.0.0:80\n"
    with pytest.raises(ConfErrors, match="passwords would travel there in clear"):
        load(outside + "NSU box1\n")
    tls = load(outside + TLS + "NSU box1\n").machine.web_tls
    assert tls == (Path("/etc/nsu.d/web.crt"), Path("/etc/nsu.d/web.key"))
    assert load("MACHINE box1\n  WEB = [::1]:80\nNSU box1\n").machine.web_tls is None
    with pytest.raises(ConfErrors, match="has no WEB_KEY"):
        load("MACHINE box1\n" + TLS.splitlines()[0] + "\nNSU box1\n")


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
        (b"", " file: says nothing"),
        (b"# only words\n", " file: says nothing"),
        (b"NSU box1\n# caf\xe9\n", "2: text: the byte 0xe9 is not UTF-8"),
        (b"#" * ((4 << 20) + 1), " file: is too large"),
    ],
)
def test_files_that_are_no_configuration(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "nsu.conf"
    path.write_bytes(content)
    with pytest.raises(ConfErrors) as error:
        load_file(path)
    assert str(error.value).startswith(f"{path}:{message}")


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("MACHINE a\n  STATE = /s\nnonsense\n", "/s"),
        ("MACHINE a\n  STATE = s\n", "/var/lib/nsu"),
        ("ARAY a\n", "/var/lib/nsu"),
        ("", "/var/lib/nsu"),
    ],
)
def test_where_state_is_can_be_read_in_a_bad_file(text: str, state: str) -> None:
    assert state_dir_of(text) == Path(state)


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


def test_a_user_that_is_not_there_is_an_error_and_says_how_to_make_one() -> None:
    with pytest.raises(ConfErrors, match=r":2: USER: there is no user no-such-user; `useradd --system"):
        load("MACHINE box1\n  USER = no-such-user\nSERVER b\n  ADDRESS = 10.1.1.1\n")
