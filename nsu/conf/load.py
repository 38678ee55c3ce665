"""nsu.conf, read and checked: from the text of the file to the frozen settings of both roles.

Guarantees:
- all errors of a file come in one go, as one `ConfErrors`; nothing else is raised, whatever the text;
- settings come complete and checked, so nothing below `nsu/` ever looks at the file;
- reading changes nothing: no drive is made, no port is opened. A host's name is resolved, secrets are read.
"""

import hashlib
import json
import socket
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from ipaddress import ip_address
from pathlib import Path

from hostside.settings import HostRoleSettings
from ipc.confinement import User
from nsu.conf import keys
from nsu.conf.errors import ConfError, ConfErrors, Findings
from nsu.conf.host_role import read_host_role
from nsu.conf.machine_facts import user_to_become
from nsu.conf.reader import BlockReader, check_kinds, check_names, default_of
from nsu.conf.server_role import Resolve, read_server
from nsu.conf.settings import MachineSettings
from nsu.conf.syntax import Block, Document, same_kind
from nsu.conf.values import INTERFACE, NAME
from serverside.settings import ServerSettings

__all__ = ["ConfError", "ConfErrors", "Loaded", "digest_of", "load_file", "load_text", "read_text", "state_dir_of"]

MAKE_USER = "useradd --system --no-create-home --shell /usr/sbin/nologin nsu"
_WHOLE_FILE = 0
_FILE_BYTES_MOST = 4 << 20
"""A hundred partitions shared by a hundred hosts take less than a quarter of this."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A good file."""

    machine: MachineSettings
    server: ServerSettings | None
    host: HostRoleSettings | None
    warnings: tuple[str, ...]
    fingerprint: str
    """Hexadecimal SHA-256 of the settings: layout and comments do not change it, a changed secret does."""


def resolve_by_system(name: str) -> tuple[str, ...]:
    """The numeric addresses of a host name, sorted; empty when it does not resolve."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return ()
    return tuple(sorted({str(ip_address(address[4][0])) for address in found}))


def load_file(path: Path, *, resolve: Resolve = resolve_by_system) -> Loaded:
    """Read and check a file. Raises `ConfErrors`."""
    return load_text(read_text(path), path, resolve=resolve)


def read_text(path: Path) -> str:
    """The text of a file, not yet understood. Raises `ConfErrors` when there is none."""
    findings = Findings(path)
    text = ""
    try:
        with open(path, "rb") as file:
            content = file.read(_FILE_BYTES_MOST + 1)
        if len(content) > _FILE_BYTES_MOST:
            findings.error(_WHOLE_FILE, "file", "is too large", f"at most {_FILE_BYTES_MOST >> 20} MiB")
        text = content.decode("utf-8")
    except OSError as error:
        findings.error(_WHOLE_FILE, "file", f"cannot be read ({error.strerror})", "name a file with -c")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        findings.error(line, "text", f"the byte 0x{content[error.start]:02x} is not UTF-8", "save the file as UTF-8")
    findings.raise_if_any()
    return text


def load_text(text: str, path: Path, *, resolve: Resolve = resolve_by_system) -> Loaded:
    """Check a text as if it stood in the file `path`. Raises `ConfErrors`."""
    findings = Findings(path)
    document = Document(text)
    _take_problems(document, findings)
    check_kinds(document.blocks, "", findings)
    _check_once(document.blocks, findings)
    machine = _read_machine(same_kind(document.blocks, "MACHINE"), findings)
    machine = replace(machine, addresses=_read_interfaces(same_kind(document.blocks, "INTERFACE"), findings))
    server = read_server(document.blocks, machine, resolve, findings)
    host = read_host_role(document.blocks, machine, findings)
    if not document.blocks:
        findings.error(_WHOLE_FILE, "file", "says nothing", "an NSU with its ARRAYs and HOSTs, or a SERVER")
    elif server is None and host is None:
        findings.warn("The file gives this machine no role: it has neither ARRAY nor HOST nor SERVER.")
    findings.raise_if_any()
    return Loaded(machine, server, host, findings.warnings, _fingerprint(machine, server, host))


def digest_of(text: str) -> str:
    """Give what names a text, comments and all: hexadecimal SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()


def state_dir_of(text: str) -> Path:
    """STATE, of a text that may be bad elsewhere: enough to find those who run by an earlier, good one."""
    for block in same_kind(Document(text).blocks, "MACHINE"):
        return BlockReader(block, Findings(Path())).one_or_default(keys.STATE)
    return default_of(keys.STATE)


def _take_problems(document: Document, findings: Findings) -> None:
    """Lines that are no syntax: errors, and no reason to say also that the key in them is missing."""
    block_lines = sorted(_lines_of(document.blocks))
    for problem in document.problems:
        findings.error(problem.line, problem.subject, problem.wrong, problem.right)
        above = bisect_left(block_lines, problem.line)
        if above:
            findings.spoil(block_lines[above - 1], problem.subject)


def _lines_of(blocks: Sequence[Block]) -> Iterator[int]:
    for block in blocks:
        yield block.line
        yield from _lines_of(block.blocks)


def _read_machine(blocks: Sequence[Block], findings: Findings) -> MachineSettings:
    if not blocks:
        return MachineSettings(socket.gethostname(), default_of(keys.STATE), None, user=user_to_become(None))
    check_names(blocks[:1], NAME, findings)
    reader = BlockReader(blocks[0], findings)
    web, tls = reader.one(keys.WEB), _read_tls(blocks[0], reader, findings)
    if web is not None and tls is None and not ip_address(web.value[0]).is_loopback:
        wrong = f"{web.value[0]} can be reached from other machines, and passwords would travel there in clear"
        findings.error(web.line, "WEB", wrong, "add WEB_CERTIFICATE and WEB_KEY, or keep WEB to 127.0.0.1")
    address = None if web is None else web.value
    user = _read_user(reader, findings)
    setup = tuple(given.value for given in reader.many(keys.SETUP))
    return MachineSettings(blocks[0].name, reader.one_or_default(keys.STATE), address, tls, user, setup)


def _read_user(reader: BlockReader, findings: Findings) -> User | None:
    """Read whom processes that move data become. One that is not there is an error: nobody would be confined."""
    given = reader.one(keys.USER)
    try:
        return user_to_become(None if given is None else given.value)
    except KeyError:
        assert given is not None
        findings.error(given.line, keys.USER.name, f"there is no user {given.value}", f"`{MAKE_USER}` makes one")
        return None


def _read_interfaces(blocks: Sequence[Block], findings: Findings) -> tuple[tuple[str, str], ...]:
    """Give (interface, address with prefix) of all INTERFACE blocks."""
    check_names(blocks, INTERFACE, findings)
    readers = [(block.name, BlockReader(block, findings)) for block in blocks]
    return tuple((name, given.value) for name, reader in readers for given in reader.many(keys.INTERFACE_ADDRESS))


def _read_tls(block: Block, reader: BlockReader, findings: Findings) -> tuple[Path, Path] | None:
    """Read the files of TLS; whether they can be used is asked where they are."""
    certificate, key = reader.one(keys.WEB_CERTIFICATE), reader.one(keys.WEB_KEY)
    if certificate is not None and key is not None:
        return certificate.value, key.value
    one = certificate or key
    if one is not None:
        wanting = "WEB_KEY" if key is None else "WEB_CERTIFICATE"
        findings.error(one.line, block.label, f"has no {wanting}", "WEB_CERTIFICATE and WEB_KEY, or neither")
    return None


def _check_once(blocks: Sequence[Block], findings: Findings) -> None:
    for kind in (kind for kind in keys.BLOCKS if kind.once):
        for again in same_kind(blocks, kind.name)[1:]:
            findings.error(again.line, kind.name, f"is the second {kind.name} of the file", "one is all there can be")


def _fingerprint(*settings: MachineSettings | ServerSettings | HostRoleSettings | None) -> str:
    plain = [None if one is None else asdict(one) for one in settings]
    text = json.dumps(plain, default=lambda value: value.hex() if isinstance(value, bytes) else str(value))
    return hashlib.sha256(text.encode()).hexdigest()
