"""TLS in nsu.conf: the three files of an NSU or SERVER block, and what each HOST and SERVER insists upon."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from ipc.tls import TlsFiles, read_identity
from nsu.conf import keys
from nsu.conf.errors import Findings
from nsu.conf.keys import Key
from nsu.conf.reader import BlockReader
from nsu.conf.syntax import Block

REQUIRED = "required"
_NSU_KEYS = (keys.TLS_CERT, keys.TLS_KEY, keys.TLS_CA)
_SERVER_KEYS = (keys.SERVER_TLS_CERT, keys.SERVER_TLS_KEY, keys.SERVER_TLS_CA)


def read_nsu_tls(reader: BlockReader, findings: Findings) -> TlsFiles | None:
    """Read what the NSU proves itself with; None: it has no TLS."""
    return _read_files(reader, _NSU_KEYS, findings, server_side=True)


def check_floors(nsu: TlsFiles | None, hosts: Sequence[Block], findings: Findings) -> None:
    """See that each HOST with TLS = required can come by TLS."""
    for host in hosts:
        for entry in host.entries:
            if entry.key != keys.HOST_TLS.name or entry.value != REQUIRED:
                continue
            if nsu is None:
                right = "TLS_CERT, TLS_KEY and TLS_CA in NSU (nsu tls init makes them)"
                findings.error(entry.line, entry.key, "there is no TLS: NSU has no TLS_CERT", right)
            if not any(other.key == keys.HOST_SECRET_FILE.name for other in host.entries):
                _want_secret(entry.line, host, findings)


def read_server_tls(block: Block, reader: BlockReader, findings: Findings) -> TlsFiles | None:
    """Read what this machine proves itself with to one NSU; None: it speaks in clear."""
    files = _read_files(reader, _SERVER_KEYS, findings, server_side=False)
    wanted = reader.one(keys.SERVER_TLS)
    if wanted is None or wanted.value != REQUIRED:
        if files is not None:
            findings.warn(f"{block.label} has a TLS_CERT and no TLS = required: it speaks in clear")
        return None
    if not any(reader.has(key) for key in _SERVER_KEYS):
        right = "add TLS_CERT, TLS_KEY and TLS_CA (nsu tls issue makes them)"
        findings.error(wanted.line, keys.SERVER_TLS.name, f"{block.label} has no TLS_CERT", right)
    if not reader.has(keys.SERVER_SECRET_FILE):
        _want_secret(wanted.line, block, findings)
    return files


def _want_secret(line: int, block: Block, findings: Findings) -> None:
    wrong = f"{block.label} has no SECRET_FILE, and version 0x01 has no TLS"
    findings.error(line, keys.HOST_TLS.name, wrong, "add its SECRET_FILE")


def _read_files(
    reader: BlockReader, of: Sequence[Key[Path]], findings: Findings, *, server_side: bool
) -> TlsFiles | None:
    given = [reader.one(key) for key in of]
    found = [one for one in given if one is not None]
    if not found:
        return None
    if len(found) < len(of):
        wanting = [key.name for key in of if not reader.has(key)]
        if wanting:
            wrong = f"has no {' and no '.join(wanting)}"
            findings.error(found[0].line, reader.block.label, wrong, "TLS_CERT, TLS_KEY and TLS_CA, or none of them")
        return None
    files = TlsFiles(*(one.value for one in found))
    try:
        read_identity(files, server_side=server_side)
        mode = os.stat(files.key).st_mode
    except OSError as error:
        right = "PEM files that this user may read: a certificate, its key, and the authority's certificate"
        findings.error(found[0].line, of[0].name, error.strerror or str(error), right)
        return None
    if mode & 0o077:
        wrong = f"{files.key} is open to others than its owner (mode {stat.S_IMODE(mode):04o})"
        findings.error(found[1].line, of[1].name, wrong, f"chmod 600 {files.key}")
    return files
