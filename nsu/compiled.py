"""The hot modules as machine code: which they are, where it lies, and when it may run.

Each of them has two twins made from the same source. The plain one is read, debugged and simulated; the fast one is
made by mypyc (`setup.py` is the recipe, for `make fast` and for wheels) and needs about half of the processor time.

In a checkout `make fast` puts the machine code into build/compiled/DIGEST. The digest is of every source that has a
say in it, so code that is not of exactly the present sources is never run: whoever edits a file runs plain until the
next `make fast`. In an installed package it lies beside the sources, as in any wheel; without a compiler at the
installation there is none, and all is plain. NSU_PLAIN=1 has the plain twin run wherever.

`use_compiled` comes before any hot module is imported: two twins in one process would be two classes of one name. This
module imports nothing of ours for that reason.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from hashlib import sha256
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from importlib.util import find_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Final

HOT: Final = (
    "hostside.agent",
    "hostside.driver.admission",
    "hostside.driver.driver",
    "hostside.driver.flushes",
    "hostside.driver.ghosts",
    "hostside.driver.intake",
    "hostside.driver.notes",
    "hostside.driver.paths",
    "hostside.driver.ranges",
    "hostside.driver.request",
    "hostside.driver.requeue",
    "hostside.driver.splitter",
    "hostside.driver.standing",
    "hostside.driver.tags",
    "hostside.driver.tracing",
    "hostside.driver.unflushed",
    "hostside.driver.unit",
    "hostside.driver.waited",
    "hostside.frontends.nbd_client",
    "hostside.frontends.nbd_protocol.account",
    "hostside.frontends.nbd_protocol.checks",
    "hostside.frontends.nbd_protocol.connection",
    "hostside.frontends.nbd_protocol.incoming_write",
    "hostside.frontends.nbd_protocol.large_read",
    "hostside.frontends.nbd_protocol.outbox",
    "hostside.frontends.nbd_protocol.transaction",
    "hostside.frontends.nbd_protocol.transmission",
    "hostside.frontends.nbd_protocol.transmission_layout",
    "hostside.frontends.nbd_protocol.zero_write",
    "hostside.incoming",
    "hostside.packets",
    "ipc.buffers",
    "ipc.counters",
    "ipc.loop",
    "ipc.packets",
    "ipc.silence",
    "ipc.vectors",
    "protocol.crc",
    "protocol.data_base",
    "protocol.errors",
    "protocol.limits",
    "protocol.ops",
    "protocol.states",
    "protocol.status",
    "protocol.v1.codec",
    "protocol.v1.data",
    "protocol.v2.codec",
    "protocol.v2.data",
    "serverside.arrays.base",
    "serverside.arrays.groups",
    "serverside.arrays.jbod",
    "serverside.arrays.raid0",
    "serverside.arrays.raid10",
    "serverside.arrays.raid5",
    "serverside.arrays.redundant",
    "serverside.drives.base",
    "serverside.drives.block",
    "serverside.drives.file",
    "serverside.drives.health",
    "serverside.partitions.partition",
    "serverside.partitions.zero_map",
    "serverside.srw",
)
"""The modules on a block's way. Nobody outside derives from a class of theirs, which machine code does not allow."""

ROOMS: Final = ("hostside", "ipc", "protocol", "serverside")
ROOT: Final = Path(__file__).resolve().parent.parent
BUILT: Final = ROOT / "build" / "compiled"


def use_compiled() -> bool:
    """Have the hot modules run as machine code, if there is some for exactly these sources; say whether.

    Raises:
        RuntimeError: a hot module was imported before, by whoever calls this too late.

    """
    early = [name for name in HOT if name in sys.modules]
    if early:
        raise RuntimeError(f"use_compiled comes before any hot module is imported; {early[0]} was")
    if os.environ.get("NSU_PLAIN") == "1":
        sys.meta_path.insert(0, Places({name: source_of(name) for name in HOT}))
        return False
    if BUILT.is_dir() and (folder := BUILT / digest()).is_dir():
        sys.meta_path.insert(0, Places(machine_code_in(folder)))
    return in_use() == "compiled"


def in_use() -> str:
    """Tell which twin runs in this process, or would: "compiled" or "plain"."""
    spec = find_spec("protocol.crc")  # of a package that imports nothing
    assert spec is not None
    assert spec.origin is not None
    return "compiled" if spec.origin.endswith(tuple(EXTENSION_SUFFIXES)) else "plain"


def digest(root: Path = ROOT) -> str:
    """Give the name for machine code made of the present sources, by the present recipe, for this Python.

    All of the rooms that the hot modules may import from have a say: mypyc writes constants of other modules into the
    code. Takes six milliseconds.
    """
    found = sha256(f"{sys.version} {EXTENSION_SUFFIXES[0]} {HOT}".encode())
    for file in (root / "setup.py", *(file for room in ROOMS for file in sorted((root / room).rglob("*.py")))):
        data = file.read_bytes()
        found.update(f"{file.relative_to(root)} {len(data)}\n".encode())
        found.update(data)
    return found.hexdigest()[:32]


def source_of(module: str) -> Path:
    """Give where the source of a module is."""
    return ROOT / f"{module.replace('.', '/')}.py"


def machine_code_in(folder: Path) -> dict[str, Path]:
    """Find machine code: of each module, and the one library that they share."""
    suffix = EXTENSION_SUFFIXES[0]
    files = folder.rglob(f"*{suffix}")
    return {file.relative_to(folder).as_posix().removesuffix(suffix).replace("/", "."): file for file in files}


class Places:
    """A finder of modules (`sys.meta_path`) whose files it was told."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self.files = files

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """See importlib.abc.MetaPathFinder."""
        del path, target
        file = self.files.get(name)
        return None if file is None else spec_from_file_location(name, file)
