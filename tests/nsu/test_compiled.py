"""Proves that machine code runs when it was made of just these sources, never otherwise, and does what they say.

What asks for machine code is skipped where none was made: `make fast` makes it, and `make test` does so first.
"""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nsu.compiled import BUILT, HOT, ROOMS, ROOT, digest, source_of
from tests.harness import spawn_world

made = pytest.mark.skipif(not (BUILT / digest()).is_dir(), reason="no machine code of these sources: make fast")

QUICK = (
    "tests/protocol",
    "tests/hostside/driver",
    "tests/hostside/frontends/nbd_protocol",
    "tests/hostside/test_agent.py",
    "tests/hostside/test_incoming.py",
)
"""What is run compiled as well, in the test's own process; the rest: pytest --compiled FOLDER."""


def python(
    *arguments: str, folder: Path = ROOT, timeout_s: float = 60, plain: str = "", compiler: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run Python on the project in `folder`, with NSU_PLAIN and CC as given."""
    environment = os.environ | {"PYTHONPATH": str(folder), "NSU_PLAIN": plain, "CC": compiler}
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout_s, check=False
    )


def version(folder: Path = ROOT, plain: str = "") -> str:
    done = python("-m", "nsu", "--version", folder=folder, plain=plain)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[-1]


def copy(folder: Path) -> None:
    """Have the sources, and their machine code, once more."""
    for room in (*ROOMS, "nsu"):
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "setup.py", folder)
    shutil.copytree(BUILT / digest(), folder / "build" / "compiled" / digest())


@made
def test_the_command_runs_machine_code_when_it_was_made() -> None:
    assert version() == "compiled"


@made
def test_every_hot_module_is_machine_code_then() -> None:
    each = "print(*(importlib.import_module(name).__file__ for name in nsu.compiled.HOT), sep='\\n')"
    run = f"import importlib, nsu.compiled; nsu.compiled.use_compiled(); {each}"
    files = python("-c", run).stdout.split()
    assert len(files) == len(HOT)
    assert [file for file in files if not file.startswith(str(BUILT / digest()))] == []


@made
def test_real_processes_run_it() -> None:
    """The agent's own map of its memory says so, and `nsu status`."""
    with spawn_world(units={"unit_1": 2048}, paths=1) as world:
        assert world.machine.status()["supervisor"]["code"] == "compiled"
        agent = world.machine.pids("nsu: agent")[0]
        assert str(BUILT / digest()) in Path(f"/proc/{agent}/maps").read_text()


def test_nsu_plain_has_the_plain_twin_run() -> None:
    assert version(plain="1") == "plain"


@made
def test_a_changed_source_falls_back_to_plain(tmp_path: Path) -> None:
    copy(tmp_path)
    assert version(tmp_path) == "compiled"
    with open(tmp_path / "protocol" / "limits.py", "a") as source:
        source.write("# changed\n")
    assert version(tmp_path) == "plain"


def test_a_digest_is_of_names_and_bytes_of_all_that_has_a_say(tmp_path: Path) -> None:
    for room in ROOMS:
        (tmp_path / room).mkdir()
    files = [tmp_path / "setup.py", *(tmp_path / room / "some.py" for room in ROOMS)]
    for file in files:
        file.write_text("same")
    found = {digest(tmp_path)}
    for file in files:
        file.write_text("else")
        found.add(digest(tmp_path))
        file.write_text("same")
    files[1].rename(files[1].with_name("other.py"))
    found.add(digest(tmp_path))
    assert len(found) == len(files) + 2


def test_machine_code_asked_for_too_late_is_a_bug_that_is_said() -> None:
    done = python("-c", "import protocol.crc; from nsu.compiled import use_compiled; use_compiled()")
    assert "RuntimeError: use_compiled comes before any hot module is imported; protocol.crc was" in done.stderr


def test_without_a_compiler_all_is_plain_and_one_line_says_why(tmp_path: Path) -> None:
    """What pip runs to make a wheel goes the same way."""
    places = ["--build-lib", str(tmp_path / "lib"), "--build-temp", str(tmp_path / "temp")]
    done = python("setup.py", "--quiet", "build_ext", *places, compiler="/no/such/cc")
    assert (done.returncode, list(tmp_path.iterdir())) == (0, [])
    assert done.stderr == "nsu: no machine code is made, all goes on plain: there is no C compiler (/no/such/cc)\n"


def test_nobody_outside_derives_from_a_hot_class() -> None:
    """Machine code refuses to make an object of such a class."""
    outside = [file for room in (*ROOMS, "nsu") for file in (ROOT / room).rglob("*.py")]
    hot = {source_of(name) for name in HOT}
    found = [f"{file}: {name}" for file in outside if file not in hot for name in derived_from_hot(file)]
    assert not found, "\n".join(found)


def derived_from_hot(file: Path) -> list[str]:
    """Classes of a file with a base that was imported from a hot module."""
    tree = ast.parse(file.read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module in HOT]
    theirs = {alias.asname or alias.name for node in imports for alias in node.names}
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    return [node.name for node in classes if {ast.unparse(base).partition("[")[0] for base in node.bases} & theirs]


def test_no_hot_function_calls_exceptions_of_two_kinds_by_one_name() -> None:
    """A name has one type in a function that mypyc compiled, that of the first: the second would raise TypeError."""
    found = [f"{name}: {where}" for name in HOT for where in exceptions_of_two_kinds(source_of(name))]
    assert not found, "\n".join(found)


def exceptions_of_two_kinds(file: Path) -> list[str]:
    """FUNCTION: NAME, for each name that stands behind `as` in except clauses that differ."""
    found = []
    for function in (node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.FunctionDef)):
        handlers = [node for node in ast.walk(function) if isinstance(node, ast.ExceptHandler)]
        kinds = {(node.name, ast.unparse(node.type)) for node in handlers if node.name and node.type}
        names = [name for name, _ in kinds]
        found += [f"{function.name}: {name}" for name in sorted(set(names)) if names.count(name) > 1]
    return found


def test_the_searches_find_what_is_planted(tmp_path: Path) -> None:
    planted = tmp_path / "planted.py"
    planted.write_text("from serverside.arrays.base import Array\n\nclass Mine(Array):\n    pass\n")
    assert derived_from_hot(planted) == ["Mine"]
    planted.write_text(
        "def f():\n try:\n  pass\n except KeyError as error:\n  pass\n except OSError as error:\n  pass\n"
    )
    assert exceptions_of_two_kinds(planted) == ["f: error"]


@made
def test_the_same_tests_pass_on_machine_code() -> None:
    done = python("-m", "pytest", "-q", "-p", "no:cacheprovider", "--compiled", *QUICK, timeout_s=110)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


@made
def test_a_traceback_of_machine_code_names_file_and_line() -> None:
    run = (
        "import nsu.compiled; nsu.compiled.use_compiled(); from ipc.buffers import BufferPool\n"
        "BufferPool(1, 4096, holders={'one': 1}).view(7)"
    )
    said = python("-c", run).stderr
    line = next(
        number
        for number, text in enumerate(source_of("ipc.buffers").read_text().splitlines(), 1)
        if "no slot {slot} in a pool of" in text
    )
    assert f'ipc/buffers.py", line {line}, in view' in said, said
