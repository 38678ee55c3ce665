"""Every block and every key of nsu.conf, declared once.

`load.py` reads by these declarations, and the sample `etc/nsu.conf` and the page `docs/reference/nsu.conf.md`
are printed from them. To add a key: declare it here, read it in its role's file, print both again (`python -m
nsu.conf.reference .`).

A default is written as it would stand in the file; one that depends on something else is told in words. A key
is required when it has neither and `required` says so.
"""

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from nsu.conf import values
from nsu.conf.values import ValueType

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class BlockKind:
    """A kind of block: `HOST name`, `UNIT name` …"""

    name: str
    inside: str
    """The block it stands in; empty: none."""
    once: bool
    """A file has at most one."""
    sentence: str
    example: str
    """A name, for the sample."""
    outermost_with: str = ""
    """The key with which it may stand outside any block too: without it that is a slip of the indentation."""


@dataclass(frozen=True, slots=True)
class Key(Generic[T]):
    """A key of one kind of block."""

    block: str
    name: str
    type: ValueType[T]
    sentence: str
    example: tuple[str, ...]
    """What the sample shows: one value, or several of a repeatable key."""
    default: str | None = None
    default_words: str = ""
    required: bool = False
    repeatable: bool = False
    in_use: bool = False
    """In the sample the line is in use, not commented out."""


BLOCKS = (
    BlockKind("MACHINE", "", True, "This machine, whatever its roles.", "box1"),
    BlockKind(
        "NSU",
        "",
        True,
        "The server role: this machine serves blocks. Without this block its keys have their"
        " defaults; any ARRAY or HOST makes the machine an NSU.",
        "box1",
    ),
    BlockKind(
        "INTERFACE",
        "",
        False,
        "A network interface of this machine whose addresses `nsu run` sets at its start; `nsu configure` writes it"
        " (docs/setup.md). Where the system itself sets the addresses, none is needed.",
        "eth1",
    ),
    BlockKind("ARRAY", "", False, "Drives joined. Partitions are cut from arrays.", "unit0"),
    BlockKind(
        "HOST",
        "",
        False,
        "A machine that may use this NSU. With a SECRET_FILE it speaks protocol version 0x02"
        " only, and the name is the one it logs in with. Without one it speaks version 0x01 only, is known by"
        " its address alone (the name is a host name that resolves, or an address), and is NOT PROTECTED.",
        "host1",
    ),
    BlockKind(
        "UNIT",
        "HOST",
        False,
        "A partition: a range of an array's blocks, as this host gets it. Version 0x01"
        " numbers a host's units from 0, in the order of the file. Two hosts share a partition when both name"
        " exactly the same range; ranges that overlap in part are refused. One host may write it, unless each that"
        " may says so by SHARED_WRITE. An NSU has at most 100 partitions, a host 16. A UNIT with a UUID, outside"
        " any HOST, is nobody's: it keeps its blocks and what is on them, until `nsu partition assign` gives it away.",
        "unit_1",
        outermost_with="UUID",
    ),
    BlockKind("SERVER", "", False, "The host role: one block for each NSU this machine uses.", "box1"),
    BlockKind(
        "DISK",
        "SERVER",
        False,
        "A partition of that NSU, under its own name, and how it is shown here.",
        "unit_1",
    ),
)

STATE = Key(
    "MACHINE",
    "STATE",
    values.PATH,
    "Folder for state, journals and the control socket. It is made at the first start, for its owner alone.",
    ("/var/lib/nsu",),
    default="/var/lib/nsu",
)
WEB = Key(
    "MACHINE",
    "WEB",
    values.ADDRESS_PORT,
    "Address and port of the pages, REST and /metrics (docs/management.md). An address that other machines reach needs"
    " WEB_CERTIFICATE and WEB_KEY: passwords must not travel in clear.",
    ("127.0.0.1:10080",),
    default_words="there are none",
)
WEB_CERTIFICATE = Key(
    "MACHINE",
    "WEB_CERTIFICATE",
    values.PATH,
    "The certificate for TLS on WEB, with those that lead to its root: a PEM file.",
    ("/etc/nsu.d/web.crt",),
    default_words="WEB speaks HTTP without TLS",
)
WEB_KEY = Key(
    "MACHINE",
    "WEB_KEY",
    values.PATH,
    "The certificate's private key: a PEM file without a password, of mode 0600.",
    ("/etc/nsu.d/web.key",),
    default_words="there is none",
)
SETUP = Key(
    "MACHINE",
    "SETUP",
    values.INTERFACE,
    "An interface on which this machine, while nobody has claimed it, may be set up without IP by whoever knows its"
    " claim key (docs/setup.md), or `every`.",
    ("eth1",),
    default_words="on none",
    repeatable=True,
)

INTERFACE_ADDRESS = Key(
    "INTERFACE",
    "ADDRESS",
    values.INTERFACE_ADDRESS,
    "An address that it gets, with its prefix; others that it has, it keeps.",
    ("10.0.0.5/24",),
    default_words="it gets none",
    repeatable=True,
)

USER = Key(
    "MACHINE",
    "USER",
    values.USER,
    "Whom the processes that move data (SRWs, agents, arrays' drivers) run as once their descriptors are open, when nsu"
    " was started by root: without capabilities, and with Landlock where the kernel has it. They stay root with root.",
    ("nsu",),
    default_words="the user nsu, if there is one; else root",
)

NSU_CONFIG_PORT = Key(
    "NSU",
    "CONFIG_PORT",
    values.PORT,
    "The port on which hosts introduce themselves (Appendix D, step 1).",
    ("10001",),
    default="10001",
)
LISTEN = Key(
    "NSU",
    "LISTEN",
    values.ADDRESS,
    "An address on which the configuration port is open.",
    ("10.1.1.1",),
    default_words="every address of the DATA_PORTs",
    repeatable=True,
)
PRIVILEGED_PORT = Key(
    "NSU",
    "PRIVILEGED_PORT",
    values.YES_NO,
    "Refuse hosts that connect to the configuration port from a port of 1024 or more (Appendix D, step 2).",
    ("yes",),
    default="yes",
)

TLS_CERT = Key(
    "NSU",
    "TLS_CERT",
    values.PATH,
    "This NSU's certificate for TLS 1.3 on configuration and data sockets, with those that lead to its root: a PEM file"
    " (docs/tls.md). It bears the NSU's name, or the addresses that hosts go to.",
    ("/etc/nsu.d/tls/box1.crt",),
    default_words="there is no TLS",
)
TLS_KEY = Key(
    "NSU",
    "TLS_KEY",
    values.PATH,
    "The certificate's private key: a PEM file without a password, of mode 0600.",
    ("/etc/nsu.d/tls/box1.key",),
    default_words="there is none",
)
TLS_CA = Key(
    "NSU",
    "TLS_CA",
    values.PATH,
    "The authority by which the hosts' certificates are judged: a PEM file.",
    ("/etc/nsu.d/tls/ca.crt",),
    default_words="there is none",
)

DISCOVERY = Key(
    "NSU",
    "DISCOVERY",
    values.DISCOVERY,
    "Whether this NSU answers whoever looks for it, by Ethernet frames and UDP port 10009 (docs/discovery.md): on every"
    " interface, on none, or on the interfaces named.",
    ("yes",),
    default="yes",
    repeatable=True,
)

LEVEL = Key(
    "ARRAY",
    "LEVEL",
    values.LEVEL,
    "How the drives are joined: one after the other (jbod) or striped (raid0), which survive no loss of a drive;"
    " striped over pairs of copies (raid10: one drive of each pair may be lost); striped with parity (raid5: any one"
    " may be lost). raid10 and raid5 recognise their drives by what they wrote on them, and use only blank ones anew.",
    ("jbod",),
    default="jbod",
    in_use=True,
)
DRIVE = Key(
    "ARRAY",
    "DRIVE",
    values.DRIVE,
    "A drive of the array; with jbod and raid0 their order is part of it. A file with a size is made, sparse, when it"
    " is not there.",
    ("/srv/nsu/drive1.img(20GiB)", "/srv/nsu/drive2.img(20GiB)"),
    required=True,
    repeatable=True,
)
SPARE = Key(
    "ARRAY",
    "SPARE",
    values.DRIVE,
    "A drive that takes the place of a failed one, and gets its data. Of no use in jbod and raid0.",
    ("/dev/sdf",),
    default_words="there is none",
    repeatable=True,
)
STRIPE = Key(
    "ARRAY",
    "STRIPE",
    values.STRIPE,
    "How much of the array lies on one drive before the next one's turn"
    " comes. Changing it changes where every block is: only for a new array.",
    ("64KiB",),
    default="64KiB",
)

HOST_ADDRESS = Key(
    "HOST",
    "ADDRESS",
    values.ADDRESS,
    "An address the host comes from. Needed without a SECRET_FILE when the host's name does not resolve.",
    ("10.1.1.20",),
    default_words="without a SECRET_FILE, what the name resolves to",
    repeatable=True,
)
HOST_SECRET_FILE = Key(
    "HOST",
    "SECRET_FILE",
    values.SECRET_PATH,
    "A file of mode 0600 with 64 hexadecimal digits: the secret this NSU shares with this host and nobody else.",
    ("/etc/nsu.d/host1.key",),
    default_words="no secret: version 0x01, not protected",
    in_use=True,
)
HOST_TLS = Key(
    "HOST",
    "TLS",
    values.HOST_TLS,
    "Whether this host comes by TLS, with a certificate that bears its name. required needs TLS_CERT in NSU, and a"
    " SECRET_FILE here.",
    ("required",),
    default="allowed",
)
DATA_PORT = Key(
    "HOST",
    "DATA_PORT",
    values.DATA_PORT,
    "An address and port of this NSU to which the host's data connections go, and how many it may have there at once.",
    ("10.1.1.1:10002(10)", "10.1.2.1:10002(12)"),
    required=True,
    repeatable=True,
)

LBA = Key(
    "UNIT",
    "LBA",
    values.LBA_RANGE,
    "The array, and the first and last of its blocks that are the partition.",
    ("unit0(0,25429823)",),
    required=True,
)
ACCESS = Key("UNIT", "ACCESS", values.ACCESS, "What this host may do.", ("read-write",), default="read-write")
ZERO = Key("UNIT", "ZERO", values.YES_NO, "Every block reads as zeros until it is written.", ("yes",), default="no")
SHARED_WRITE = Key(
    "UNIT",
    "SHARED_WRITE",
    values.YES_NO,
    "yes, in the UNIT of every host that may write it: several hosts may write this partition. It protects nothing: no"
    " host sees when another writes, and an ordinary file system (ext4, XFS, NTFS) is destroyed at once; only software"
    " made for shared disks (OCFS2, GFS2, a cluster's database) keeps order by itself.",
    ("yes",),
    default="no",
)
UNIT_UUID = Key(
    "UNIT",
    "UUID",
    values.UUID_TEXT,
    "Which partition this is, whatever it is called and whoever has it. `nsu partition` writes it; all UNITs of a"
    " shared partition have the same. A UNIT with another UUID is another partition, though it has the same blocks:"
    " with ZERO = yes it shows nothing of the former one's data.",
    ("0f5c1c62-6b4e-4c1e-9d3a-2f6f6f0c8e11",),
    default_words="known by its host, its name and its first block",
)

SERVER_ADDRESS = Key(
    "SERVER",
    "ADDRESS",
    values.REACHABLE_ADDRESS,
    "An address of that NSU: one for each network by which it can be reached.",
    ("10.1.1.1", "10.1.2.1"),
    required=True,
    repeatable=True,
)
SERVER_CONFIG_PORT = Key(
    "SERVER", "CONFIG_PORT", values.PORT, "That NSU's configuration port.", ("10001",), default="10001"
)
LOGIN = Key(
    "SERVER",
    "LOGIN",
    values.NAME,
    "The name this machine logs in with: that NSU has a HOST of this name.",
    ("host1",),
    default_words="the MACHINE's name",
    in_use=True,
)
SERVER_SECRET_FILE = Key(
    "SERVER",
    "SECRET_FILE",
    values.SECRET_PATH,
    "A file of mode 0600 with 64 hexadecimal digits: the secret that NSU knows this machine by.",
    ("/etc/nsu.d/host1.key",),
    default_words="no secret: version 0x01, not protected",
    in_use=True,
)
SERVER_TLS = Key(
    "SERVER",
    "TLS",
    values.SERVER_TLS,
    "required: TLS 1.3 on every socket to that NSU, and nothing in clear, whatever happens (docs/tls.md). Its"
    " certificate must bear the SERVER's name here or the address that is gone to. It needs a SECRET_FILE.",
    ("required",),
    default="no",
)
SERVER_TLS_CERT = Key(
    "SERVER",
    "TLS_CERT",
    values.PATH,
    "This machine's certificate, which bears the name of LOGIN: a PEM file.",
    ("/etc/nsu.d/tls/host1.crt",),
    default_words="there is none",
)
SERVER_TLS_KEY = Key(
    "SERVER",
    "TLS_KEY",
    values.PATH,
    "The certificate's private key: a PEM file without a password, of mode 0600.",
    ("/etc/nsu.d/tls/host1.key",),
    default_words="there is none",
)
SERVER_TLS_CA = Key(
    "SERVER",
    "TLS_CA",
    values.PATH,
    "The authority by which that NSU's certificate is judged: a PEM file.",
    ("/etc/nsu.d/tls/ca.crt",),
    default_words="there is none",
)
CONNECTIONS = Key(
    "SERVER",
    "CONNECTIONS",
    values.CONNECTIONS,
    "How many data connections to keep, over all networks.",
    ("8",),
    default="4",
)
CONNECTIONS_MAX = Key(
    "SERVER",
    "CONNECTIONS_MAX",
    values.CONNECTIONS,
    "How many there may be for a while: more than CONNECTIONS are opened when requests wait, the network is far (a"
    " round trip of a millisecond or more) and it helps; they are closed when they are not needed any more.",
    ("16",),
    default_words="twice CONNECTIONS",
)
ON_NO_PATH = Key(
    "SERVER",
    "ON_NO_PATH",
    values.ON_NO_PATH,
    "What becomes of requests while no connection stands: they"
    " wait as long as it takes, or fail after so many seconds.",
    ("queue",),
    default="queue",
)
PAYLOAD_CRC = Key(
    "SERVER",
    "PAYLOAD_CRC",
    values.YES_NO,
    "yes: every payload travels with its CRC32C (version 0x02 only; the headers always have one).",
    ("no",),
    default="no",
)

SHOW = Key(
    "DISK",
    "SHOW",
    values.SHOW,
    "What users of this machine see: an NBD server on a Unix socket (socket),"
    " /dev/nbdN (nbd), a file (fuse), /dev/loopN (loop).",
    ("socket",),
    default="socket",
)
AT = Key(
    "DISK",
    "AT",
    values.PATH,
    "The socket; the file (fuse: its folder becomes the mount); or a link to the device (nbd, loop).",
    ("/run/nsu/unit_1.sock",),
    default_words="/run/nsu/NAME.sock, /run/nsu/NAME/NAME for fuse, /run/nsu/NAME for nbd and loop",
)
OWNER = Key(
    "DISK",
    "OWNER",
    values.OWNER,
    "Who has the socket (SHOW = socket) or the file (fuse). Devices have theirs from udev.",
    (":kvm",),
    default_words="the user and group that nsu runs as",
)
MODE = Key(
    "DISK",
    "MODE",
    values.MODE,
    "The permission bits of the socket or the file. Who may write a socket uses the disk.",
    ("0660",),
    default="0600",
)
NUMBER = Key(
    "DISK",
    "NUMBER",
    values.NUMBER,
    "The unit's number, for version 0x01, which has no names.",
    ("0",),
    default_words="the place among the DISK blocks, from 0",
)

KEYS: tuple[Key[Any], ...] = (
    STATE, WEB, WEB_CERTIFICATE, WEB_KEY, USER, SETUP,
    INTERFACE_ADDRESS,
    NSU_CONFIG_PORT, LISTEN, PRIVILEGED_PORT, TLS_CERT, TLS_KEY, TLS_CA, DISCOVERY,
    LEVEL, DRIVE, SPARE, STRIPE,
    HOST_ADDRESS, HOST_SECRET_FILE, HOST_TLS, DATA_PORT,
    LBA, ACCESS, ZERO, SHARED_WRITE, UNIT_UUID,
    SERVER_ADDRESS, SERVER_CONFIG_PORT, LOGIN, SERVER_SECRET_FILE, SERVER_TLS,
    SERVER_TLS_CERT, SERVER_TLS_KEY, SERVER_TLS_CA, CONNECTIONS, CONNECTIONS_MAX, ON_NO_PATH,
    PAYLOAD_CRC,
    SHOW, AT, OWNER, MODE, NUMBER,
)  # fmt: skip


def keys_of(block: str) -> tuple[Key[Any], ...]:
    """The keys of one kind of block, in the order in which they are printed."""
    return tuple(key for key in KEYS if key.block == block)
