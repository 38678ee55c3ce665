"""Proves that the house keeps its shape: who imports whom, a test for each module, nothing grown out of hand.

Everything here is read from the source (ast), nothing is imported. The rules are the tables below; each table
of exceptions is a ratchet: an entry that is no longer needed fails too, so that the tables only get shorter.
"""

import ast
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
ROOMS = ("protocol", "ipc", "serverside", "hostside", "nsu")

MAY_IMPORT: dict[str, frozenset[str]] = {
    "protocol": frozenset({"construct", "crc32c", "cryptography"}),
    "ipc": frozenset({"psutil", "setproctitle"}),
    "serverside": frozenset({"protocol", "ipc", "construct", "numpy", "pyroute2"}),
    "hostside": frozenset({"protocol", "ipc", "construct", "mfusepy"}),
    "nsu": frozenset(
        {"protocol", "ipc", "serverside", "hostside", "configobj", "psutil", "click", "rich"}
        | {"fastapi", "starlette", "pydantic", "uvicorn", "jinja2", "prometheus_client"}
        | {"cryptography"}
    ),
    "bench": frozenset({*ROOMS, "tests", "psutil", "click", "rich", "matplotlib"}),
}
"""Folder -> what it may import beside the standard library and itself. tests/ may import all: not listed."""

STANDARD_BUT_NEVER: dict[str, frozenset[str]] = {
    # Bytes in, events out: no sockets, files, clocks, processes, and randomness is handed in.
    "protocol": frozenset(
        {"socket", "select", "selectors", "asyncio", "os", "io", "pathlib", "tempfile", "mmap", "time"}
        | {"datetime", "random", "secrets", "subprocess", "multiprocessing", "threading", "signal"}
    ),
    # A parent that forks has no threads.
    "ipc": frozenset({"threading", "asyncio", "concurrent"}),
    "serverside": frozenset({"threading", "asyncio", "concurrent"}),
    "hostside": frozenset({"threading", "asyncio", "concurrent"}),
}
"""Folder -> modules of the standard library that would break what the folder promises."""

EXCEPT_HERE: dict[tuple[str, str], str] = {
    ("hostside/frontends/aside.py", "threading"): "the kernel's ways to show a disk block until our loop has served",
}
"""(file, module) that STANDARD_BUT_NEVER forbids and that is allowed all the same -> why."""

DOORS: dict[str, tuple[str, ...]] = {
    "construct": (
        "protocol/v1/layout.py",
        "protocol/v2/layout.py",
        "protocol/discovery/",
        "hostside/frontends/nbd_protocol/",
        "serverside/redundancy/superblock.py",
    ),
    "numpy": ("serverside/redundancy/xor.py",),
    "crc32c": ("protocol/crc.py",),
    "pyroute2": ("serverside/addresses.py",),
    "cryptography": ("protocol/setup/cipher.py", "nsu/tls_authority.py"),
    "mfusepy": ("hostside/frontends/fuse_session.py",),
    "configobj": ("nsu/conf/",),
    "setproctitle": ("ipc/",),
    "psutil": ("ipc/", "nsu/", "bench/"),
    "click": ("nsu/cli", "bench/"),
    "rich": ("nsu/", "bench/"),
    "matplotlib": ("bench/plots.py",),
    "fastapi": ("nsu/web/",),
    "starlette": ("nsu/web/",),
    "pydantic": ("nsu/web/",),
    "uvicorn": ("nsu/web/process.py",),
    "jinja2": ("nsu/web/pages/render.py",),
    "prometheus_client": ("nsu/web/metrics.py",),
}
"""Each dependency -> beginnings of the paths that may import it, so that it can be replaced in one place."""

VARIANTS: dict[str, frozenset[str]] = {
    "serverside/drives": frozenset({"base", "health", "fallocate", "witness"}),
    "serverside/arrays": frozenset({"base", "groups"}),
    "hostside/frontends": frozenset({"base", "listener", "aside", "device_users", "netlink"}),
}
"""Folder of variants -> the modules of it that are no variants; of the folder, all may import those."""

REGISTERS = frozenset({"__init__", "open", "sweep"})
"""Modules of such a folder that know all its variants."""

SISTERS: tuple[frozenset[str], ...] = (frozenset({"protocol/v1", "protocol/v2"}),)
"""Folders that are variants of each other: none imports another."""

INDEPENDENT = frozenset({"tests/system/independent_v1_host.py"})
"""Written from the specification alone, to test us with: they share no line with us."""

REAL = "real processes only:"
TRANSMISSION = "a part of transmission.py: tests/hostside/frontends/nbd_protocol/test_transmission.py"
UNMIRRORED: dict[str, str] = {
    "hostside/__init__.py": "hands the Python API on: tests/hostside/test_client.py",
    "nsu/__main__.py": "one call before another: tests/nsu/test_compiled.py",
    "serverside/settings.py": "frozen data with properties of a line or two: tests/nsu/conf/test_load.py",
    "serverside/redundancy/guard.py": "a contract without code: tests/serverside/redundancy/test_journal.py",
    "serverside/setup.py": f"{REAL} tests/system/test_setup.py",
    "serverside/addresses.py": f"{REAL} tests/system/test_setup.py",
    "hostside/setup.py": f"{REAL} tests/system/test_setup.py",
    "hostside/frontends/nbd_protocol/account.py": TRANSMISSION,
    "hostside/frontends/nbd_protocol/checks.py": TRANSMISSION,
    "hostside/frontends/nbd_protocol/incoming_write.py": TRANSMISSION,
    "hostside/frontends/nbd_protocol/large_read.py": TRANSMISSION,
    "hostside/frontends/nbd_protocol/transaction.py": TRANSMISSION,
    "hostside/frontends/nbd_protocol/transmission_layout.py": TRANSMISSION,
    "hostside/frontends/nbd_protocol/zero_write.py": TRANSMISSION,
    "hostside/frontends/nbd_protocol/connection.py": "a base: tests/hostside/frontends/nbd_protocol/test_handshake.py",
    "hostside/frontends/fuse_session.py": "a part of fuse.py: tests/hostside/frontends/test_fuse.py",
    "hostside/frontends/nbd_clients.py": "a part of nbd.py: tests/hostside/frontends/test_nbd.py",
    "hostside/frontends/nbd_client.py": "a part of nbd.py: tests/hostside/frontends/test_nbd.py",
    "nsu/rates_shown.py": "rates in words: tests/nsu/test_rates.py",
    "nsu/web/site.py": "puts parts together: tests/nsu/web/test_orders.py",
    "nsu/web/refusals.py": "errors in words: tests/nsu/web/test_app.py",
    "nsu/web/pages/routes.py": "a list of modules: tests/nsu/web/pages/test_look.py",
}
"""Source module without a test file of its own -> why, and what proves it instead."""

BESIDE_THE_TREE: dict[str, str] = {
    "tests/serverside/redundancy/test_crash_points.py": "machine, guards and members together, under power failures",
    "tests/hostside/test_closing.py": "an agent, the link and the disks together, when a path is not needed any more",
    "tests/nsu/partitions/test_lives.py": "all verbs together, beside a plain model",
    "tests/hostside/frontends/test_real_clients.py": "the NBD front-end as a whole, before clients nobody here wrote",
}
"""Test file in a room's mirror that mirrors no module -> why it is there."""

FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 600

LONGER: dict[str, int] = {}
"""`path` or `path:function` -> its lines, where it is longer than allowed: it may shrink, never grow."""


# --- reading the source ---


@cache
def sources() -> Mapping[str, ast.Module]:
    """Path (relative, posix) -> syntax tree, of all Python files of the project."""
    folders = (*MAY_IMPORT, "tests", "docs")
    files = [file for folder in folders for file in sorted((REPOSITORY / folder).rglob("*.py"))]
    return {file.relative_to(REPOSITORY).as_posix(): ast.parse(file.read_text()) for file in files}


def imports_of(path: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of each import; `from a.b import c` says a.b.c, relative ones are resolved."""
    package = path.removesuffix(".py").split("/")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            names = [*base, *(node.module.split(".") if node.module else [])]
            yield from ((node.lineno, ".".join([*names, alias.name])) for alias in node.names)


def room_of(path: str) -> str:
    return path.partition("/")[0]


# --- the rules, each a function from one file to its complaints ---


def broken_room_rules(path: str, tree: ast.Module) -> Iterator[str]:
    room = room_of(path)
    if room not in MAY_IMPORT:
        return
    for line, name in imports_of(path, tree):
        top = name.partition(".")[0]
        if top in STANDARD_BUT_NEVER.get(room, ()) and (path, top) not in EXCEPT_HERE:
            yield f"{path}:{line}: {room}/ never imports {top}"
        elif top != room and top not in sys.stdlib_module_names and top not in MAY_IMPORT[room]:
            yield f"{path}:{line}: {room}/ may import {', '.join(sorted(MAY_IMPORT[room]))}, but not {name}"


def broken_door_rules(path: str, tree: ast.Module) -> Iterator[str]:
    if room_of(path) not in MAY_IMPORT:
        return
    for line, name in imports_of(path, tree):
        doors = DOORS.get(name.partition(".")[0])
        if doors and not path.startswith(doors):
            yield f"{path}:{line}: {name} comes in through {' or '.join(doors)} only"


def broken_harness_rules(path: str, tree: ast.Module) -> Iterator[str]:
    """Of tests/ only the harness is for others, and only for bench/."""
    for line, name in imports_of(path, tree):
        if room_of(path) == "bench" and name.startswith("tests") and not name.startswith("tests.harness"):
            yield f"{path}:{line}: bench/ uses tests.harness, nothing else of tests/"


def broken_independence_rules(path: str, tree: ast.Module) -> Iterator[str]:
    """A proof by an independent peer is worth what the peer's independence is worth."""
    for line, name in imports_of(path, tree):
        if path in INDEPENDENT and name.partition(".")[0] not in sys.stdlib_module_names:
            yield f"{path}:{line}: an independent peer imports the standard library only, not {name}"


def broken_variant_rules(path: str, tree: ast.Module) -> Iterator[str]:
    folder, _, file = path.rpartition("/")
    stem = file.removesuffix(".py")
    if folder not in VARIANTS or stem in REGISTERS:
        return
    for line, name in imports_of(path, tree):
        imported = name.split(".")
        if not _inside(imported, folder):
            continue
        # nbd.py and nbd_client.py are one variant, and may have a folder nbd_protocol/ of their own.
        sibling = imported[folder.count("/") + 1]
        if sibling not in VARIANTS[folder] and sibling.split("_")[0] != stem.split("_")[0]:
            yield f"{path}:{line}: of {folder}/ import {', '.join(VARIANTS[folder])}, never {sibling}"


def broken_sister_rules(path: str, tree: ast.Module) -> Iterator[str]:
    folder = path.rpartition("/")[0]
    for sisters in SISTERS:
        others = sisters - {folder} if folder in sisters else ()
        for line, name in imports_of(path, tree):
            if any(_inside(name.split("."), other) for other in others):
                yield f"{path}:{line}: {folder}/ never imports its sister ({name})"


def _inside(dotted: list[str], folder: str) -> bool:
    """Whether the dotted name names something in `folder`, not the folder itself."""
    parts = folder.split("/")
    return dotted[: len(parts)] == parts and len(dotted) > len(parts)


def has_behaviour(tree: ast.Module) -> bool:
    """Whether there is anything to test: a file without a function only declares."""
    return any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in ast.walk(tree))


def mirror_of(path: str) -> str:
    folder, _, file = path.rpartition("/")
    return f"tests/{folder}/test_{file}"


def module_of(path: str) -> str | None:
    """What the test file `path` mirrors; None when it stands outside the rooms' mirrors."""
    folder, _, file = path.removeprefix("tests/").rpartition("/")
    return f"{folder}/{file.removeprefix('test_')}" if room_of(folder) in ROOMS else None


def lengths(path: str, tree: ast.Module) -> Iterator[tuple[str, int, int]]:
    """(what, lines, allowed) of the file and of each function in it, decorators not counted."""
    yield path, max((node.end_lineno or 0 for node in tree.body), default=0), FILE_LINES_MAX
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{path}:{node.name}", (node.end_lineno or 0) - node.lineno + 1, FUNCTION_LINES_MAX


# --- the house obeys them ---

Rule = Callable[[str, ast.Module], Iterator[str]]
RULES: list[Rule] = [
    broken_room_rules,
    broken_door_rules,
    broken_harness_rules,
    broken_independence_rules,
    broken_variant_rules,
    broken_sister_rules,
]


@pytest.mark.parametrize("rule", RULES)
def test_no_file_breaks_the_rule(rule: Rule) -> None:
    complaints = [complaint for path, tree in sources().items() for complaint in rule(path, tree)]
    assert not complaints, "\n".join(complaints)


def test_every_module_has_its_mirrored_test_or_a_reason() -> None:
    wanting = {
        path
        for path, tree in sources().items()
        if room_of(path) in ROOMS and has_behaviour(tree) and mirror_of(path) not in sources()
    }
    missing = sorted(f"{path}: {mirror_of(path)} is not there" for path in wanting - UNMIRRORED.keys())
    needless = sorted(f"{path}: listed in UNMIRRORED without need" for path in UNMIRRORED.keys() - wanting)
    assert not missing + needless, "\n".join(missing + needless)


def test_what_proves_an_unmirrored_module_exists() -> None:
    named = {path for reason in UNMIRRORED.values() for path in re.findall(r"tests/\S+\.py", reason)}
    assert not named - sources().keys()


def test_every_mirrored_test_has_its_module() -> None:
    orphans = {path for path in sources() if "/test_" in path and module_of(path) not in {None, *sources()}}
    missing = sorted(f"{path}: {module_of(path)} is not there" for path in orphans - BESIDE_THE_TREE.keys())
    needless = sorted(f"{path}: in BESIDE_THE_TREE without need" for path in BESIDE_THE_TREE.keys() - orphans)
    assert not missing + needless, "\n".join(missing + needless)


def test_nothing_is_longer_than_agreed() -> None:
    measured = [row for path, tree in sources().items() for row in lengths(path, tree)]
    found = {what: lines for what, lines, most in measured if lines > most}
    grown = [f"{what}: {lines} lines" for what, lines in found.items() if lines > LONGER.get(what, 0)]
    shrunk = [f"{what}: LONGER says {n}" for what, n in LONGER.items() if found.get(what, 0) < n]
    assert not grown + shrunk, "\n".join(grown + shrunk)


# --- and the rules can bite ---

PLANTED: list[tuple[Rule, str, str]] = [
    (broken_room_rules, "protocol/v1/planted.py", "import socket"),
    (broken_room_rules, "ipc/planted.py", "from protocol.limits import SPLIT_BYTES"),
    (broken_room_rules, "serverside/planted.py", "import hostside.packets"),
    (broken_room_rules, "hostside/planted.py", "def late():\n    from nsu import conf"),
    (broken_room_rules, "nsu/planted.py", "import tests.harness"),
    (broken_door_rules, "serverside/planted.py", "import crc32c"),
    (broken_harness_rules, "bench/planted.py", "from tests.conftest import pytest_addoption"),
    (broken_independence_rules, "tests/system/independent_v1_host.py", "from protocol.ops import Op"),
    (broken_variant_rules, "serverside/drives/planted.py", "from serverside.drives.file import FileDrive"),
    (broken_variant_rules, "serverside/drives/planted.py", "from .file import FileDrive"),
    (broken_variant_rules, "serverside/drives/planted.py", "from serverside.drives import file"),
    (broken_sister_rules, "protocol/v2/planted.py", "from protocol.v1.layout import HEADER"),
]
"""(rule, path, source that breaks it)"""


@pytest.mark.parametrize(("rule", "path", "source"), PLANTED)
def test_a_planted_breach_is_found(rule: Rule, path: str, source: str) -> None:
    assert list(rule(path, ast.parse(source))), source


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("protocol/v2/planted.py", "import struct, hmac\nfrom protocol.crc import crc32c"),
        ("serverside/arrays/planted.py", "from serverside.arrays.base import Array\nimport protocol"),
        ("serverside/drives/open.py", "from serverside.drives.file import FileDrive"),
        ("hostside/frontends/nbd.py", "from hostside.frontends.nbd_protocol.outbox import Outbox"),
        ("nsu/conf/planted.py", "import configobj\nfrom serverside.settings import ServerSettings"),
        ("bench/planted.py", "from tests.harness import spawn_server"),
    ],
)
def test_what_is_allowed_is_not_complained_of(path: str, source: str) -> None:
    assert not [complaint for rule in RULES for complaint in rule(path, ast.parse(source))]
