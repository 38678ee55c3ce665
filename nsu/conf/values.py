"""The types of the values in nsu.conf: each turns the text of one value into what the settings hold.

A type is data: its name, the sentence that says what is right (printed in the reference page and in every
error), and the function that reads it. A reading function looks at nothing but its text: whether a file or a
host exists is asked in the role's own checks. It returns the value or raises `ValueWrong`, and nothing else,
for any printable text.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Generic, TypeVar

from protocol.limits import BLOCK_BYTES, NAME_BYTES_MAX
from serverside.interface_address import AddressError, read_interface_address
from serverside.settings import DataPortSettings, DriveSettings

T = TypeVar("T")

LBA_MOST = (1 << 54) - 1
"""The last block whose end is still a byte offset Linux can name (2**63)."""
CONNECTIONS_MOST = 1000
_UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40, "": 1}
_NAME = rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{NAME_BYTES_MAX - 1}}}"
_ACCOUNT = r"[A-Za-z0-9_][A-Za-z0-9_.@+\\-]{0,255}\$?"
"""useradd(8) is stricter; directories have names such as DOMAIN\\user and user@domain."""
_ACCOUNT_MOST = (1 << 32) - 2
"""One more is -1, which chown(2) takes for "leave it"."""
_SIZE_FORM = "a whole number with KiB, MiB, GiB or TiB, such as 20GiB; without a unit it is bytes"


class ValueWrong(Exception):  # noqa: N818 -- it is no error of the program's
    """A value that cannot be read. `right` empty: the type's own sentence says what would be right."""

    def __init__(self, wrong: str, right: str = "") -> None:
        super().__init__(wrong)
        self.wrong = wrong
        self.right = right


@dataclass(frozen=True, slots=True)
class ValueType(Generic[T]):
    """A kind of value."""

    name: str
    right: str
    """What may be written, with the range and the units."""
    read: Callable[[str], T]


@dataclass(frozen=True, slots=True)
class LbaRange:
    """`unit1(0,1000)`: both ends are included, so 1001 blocks of 512 bytes."""

    array: str
    first_lba: int
    last_lba: int

    def __str__(self) -> str:
        return f"{self.array}({self.first_lba},{self.last_lba})"


@dataclass(frozen=True, slots=True)
class Forever:
    """`ON_NO_PATH = queue`."""


@dataclass(frozen=True, slots=True)
class Owner:
    """`user`, `user:group` or `:group`: names or numbers, and not yet looked up; empty: not said."""

    user: str
    group: str


def _read_name(text: str) -> str:
    if not re.fullmatch(_NAME, text):
        raise ValueWrong(f"{text} is not a name")
    return text


def _read_path(text: str) -> Path:
    if not text.startswith("/"):
        raise ValueWrong(f"{text} does not begin with /")
    return Path(text)


def _read_secret_path(text: str) -> Path:
    if not text.startswith("/"):
        # Not shown: it may be the secret itself, in the wrong place.
        raise ValueWrong("what is given does not begin with /", "the absolute path of a file that has the secret in it")
    return Path(text)


def _read_yes_no(text: str) -> bool:
    if text not in ("yes", "no"):
        raise ValueWrong(f"{text} is neither yes nor no")
    return text == "yes"


def _read_address(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        raise ValueWrong(f"{text} is not a numeric address") from None


def _read_reachable_address(text: str) -> str:
    address = _read_address(text)
    number = ip_address(address)
    if number.is_unspecified or number.is_multicast:
        raise ValueWrong(
            f"{text} is not the address of one machine, so no host can connect to it",
            "an address of one network interface, such as 10.1.1.1",
        )
    return address


def _read_port(text: str) -> int:
    return _read_number(text, 1, 65535, "a port")


def _read_number(text: str, least: int, most: int, what: str) -> int:
    if not re.fullmatch(r"[0-9]+", text):
        raise ValueWrong(f"{text} is not a whole number")
    number = int(text) if len(text) <= 20 else most + 1
    if not least <= number <= most:
        raise ValueWrong(f"{text[:20]} is out of range for {what}", f"{what} from {least} to {most}")
    return number


def _read_host_port(text: str) -> tuple[str, int]:
    found = re.fullmatch(r"(?:\[([^\[\]]+)\]|([^\[\]:]+)):([^:]+)", text)
    if not found:
        raise ValueWrong(f"{text} is not an address and a port")
    return _read_address(found[1] or found[2]), _read_port(found[3])


def _read_data_port(text: str) -> DataPortSettings:
    found = re.fullmatch(r"(?:\[([^\[\]]+)\]|([^\[\]:]+)):([^:()]+)\(([^()]+)\)", text)
    if not found:
        raise ValueWrong(f"{text} is not an address, a port and a number of connections")
    most = _read_number(found[4].strip(), 1, CONNECTIONS_MOST, "a number of connections")
    return DataPortSettings(_read_reachable_address(found[1] or found[2]), _read_port(found[3]), most)


def _read_size(text: str) -> int:
    found = re.fullmatch(r"([0-9]{1,20}) ?([A-Za-z]*)", text)
    if not found or found[2] not in _UNITS:
        raise ValueWrong(f"{text} is not a size", _SIZE_FORM)
    return int(found[1]) * _UNITS[found[2]]


def _read_drive(text: str) -> DriveSettings:
    path, bracket, size = text.partition("(")
    if not bracket:
        return DriveSettings(_read_path(text))
    if not size.endswith(")"):
        raise ValueWrong(f"{text} does not end with the bracket it opened")
    size_bytes = _read_size(size[:-1].strip())
    if not BLOCK_BYTES <= size_bytes <= (LBA_MOST + 1) * BLOCK_BYTES or size_bytes % BLOCK_BYTES:
        raise ValueWrong(f"a drive cannot be {size[:-1].strip()}", "a multiple of 512 bytes, below 2**63")
    return DriveSettings(_read_path(path.rstrip()), size_bytes)


def _read_stripe(text: str) -> int:
    size_bytes = _read_size(text)
    if not 4096 <= size_bytes <= 64 << 20 or size_bytes % 4096:
        raise ValueWrong(f"a stripe cannot be {text}")
    return size_bytes


def _read_lba_range(text: str) -> LbaRange:
    found = re.fullmatch(rf"({_NAME}) ?\( ?([^,() ]+) ?, ?([^,() ]+) ?\)", text)
    if not found:
        raise ValueWrong(f"{text} is not an array with a first and a last block")
    first, last = (_read_number(number, 0, LBA_MOST, "an LBA") for number in (found[2], found[3]))
    if first > last:
        raise ValueWrong(
            f"the first block, {first}, comes after the last, {last}",
            f"{found[1]}({last},{first}): both ends are included",
        )
    return LbaRange(found[1], first, last)


def _read_on_no_path(text: str) -> float | Forever:
    if text == "queue":
        return Forever()
    found = re.fullmatch(r"fail after ([0-9]{1,6}(?:\.[0-9]{1,3})?) ?s", text)
    if not found:
        raise ValueWrong(f"{text} is neither of the two answers")
    if not 1 <= float(found[1]) <= 86400:
        raise ValueWrong(f"{found[1]} s is out of range")
    return float(found[1])


def _read_user(text: str) -> str:
    if not re.fullmatch(_ACCOUNT, text):
        raise ValueWrong(f"{text} is not the name of a user")
    return text


def _read_owner(text: str) -> Owner:
    found = re.fullmatch(rf"({_ACCOUNT})?(?::({_ACCOUNT}))?", text)
    if not found or not text:
        raise ValueWrong(f"{text} is not an owner")
    for name in found.groups(""):
        if name.isdecimal():
            _read_number(name, 0, _ACCOUNT_MOST, "the number of a user or a group")
    return Owner(*found.groups(""))


def _read_mode(text: str) -> int:
    if not re.fullmatch(r"0?[0-7]{3}", text):
        raise ValueWrong(f"{text} is not the permission bits of a file")
    return int(text, 8)


def _read_uuid(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", text):
        raise ValueWrong(f"{text} is not a UUID")
    return text


def _read_discovery(text: str) -> str:
    if not re.fullmatch(r"[^\s/]{1,15}", text):
        raise ValueWrong(f"{text} is neither yes nor no, nor the name of an interface")
    return text


def _read_interface(text: str) -> str:
    if not re.fullmatch(r"[^\s/]{1,15}", text) or text in (".", ".."):
        raise ValueWrong(f"{text} is not the name of an interface")
    return text


def _read_interface_address(text: str) -> str:
    try:
        return read_interface_address(text).with_prefixlen
    except AddressError as error:
        raise ValueWrong(str(error)) from None


def _choice(what: str, *words: str) -> ValueType[str]:
    """One of some words."""

    def read(text: str) -> str:
        if text not in words:
            raise ValueWrong(f"{text} is not {what}")
        return text

    return ValueType("word", ", ".join(words), read)


NAME = ValueType(
    "name",
    f"up to {NAME_BYTES_MAX} letters, digits, dots, underscores and hyphens, the first a letter or digit",
    _read_name,
)
PATH = ValueType("path", "an absolute path", _read_path)
SECRET_PATH = ValueType("path", "an absolute path", _read_secret_path)
YES_NO = ValueType("yes or no", "yes or no", _read_yes_no)
ADDRESS = ValueType("address", "a numeric address, such as 10.1.1.1 or fe80::1", _read_address)
REACHABLE_ADDRESS = ValueType("address", ADDRESS.right, _read_reachable_address)
INTERFACE = ValueType("interface", "the name of a network interface, as ip(8) shows it, such as eth1", _read_interface)
INTERFACE_ADDRESS = ValueType(
    "address/prefix", "an address with its prefix, such as 10.0.0.5/24 or fd00::5/64", _read_interface_address
)
PORT = ValueType("port", "a port from 1 to 65535", _read_port)
ADDRESS_PORT = ValueType("address:port", "ADDRESS:PORT, such as 127.0.0.1:10080 or [::1]:10080", _read_host_port)
DATA_PORT = ValueType(
    "data port",
    "ADDRESS:PORT(CONNECTIONS), such as 10.1.1.1:10002(10) or [fe80::1]:10002(10),"
    f" with 1 to {CONNECTIONS_MOST} connections",
    _read_data_port,
)
CONNECTIONS = ValueType(
    "number",
    f"a number from 1 to {CONNECTIONS_MOST}",
    lambda text: _read_number(text, 1, CONNECTIONS_MOST, "a number of connections"),
)
NUMBER = ValueType("number", "a number from 0 to 99", lambda text: _read_number(text, 0, 99, "a unit's number"))
DRIVE = ValueType(
    "drive",
    "a block device or file, such as /dev/sdb, or a file with its size, such as /srv/nsu/drive1.img(20GiB)",
    _read_drive,
)
STRIPE = ValueType("size", "a multiple of 4KiB from 4KiB to 64MiB, such as 64KiB", _read_stripe)
LBA_RANGE = ValueType(
    "blocks",
    "ARRAY(FIRST,LAST), such as unit0(0,25429823): blocks of 512 bytes, both ends included",
    _read_lba_range,
)
UUID_TEXT = ValueType(
    "UUID", "a UUID in small letters, such as uuidgen(1) gives: 0f5c1c62-6b4e-4c1e-9d3a-2f6f6f0c8e11", _read_uuid
)
ON_NO_PATH = ValueType("answer", "queue, or: fail after N s, with N from 1 to 86400", _read_on_no_path)
OWNER = ValueType(
    "owner", "USER, USER:GROUP or :GROUP, as chown(1) takes them: names or numbers, such as :kvm", _read_owner
)
USER = ValueType("user", "the name of a user of this machine, such as nsu; root to stay root", _read_user)
MODE = ValueType("mode", "octal permission bits from 0000 to 0777, such as 0660", _read_mode)
DISCOVERY = ValueType("yes, no or interface", "yes, no, or the name of an interface, such as eth1", _read_discovery)
LEVEL = _choice("a level", "jbod", "raid0", "raid10", "raid5")
ACCESS = _choice("a kind of access", "read-write", "read-only")
HOST_TLS = _choice("an answer", "required", "allowed", "no")
SERVER_TLS = _choice("an answer", "required", "no")
SHOW = _choice("a way to show a disk", "socket", "nbd", "fuse", "loop")
