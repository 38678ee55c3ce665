"""Proves that what is told of each process's power is what the kernel says, and that root's is counted."""

import os
import subprocess
import sys
from typing import Any

from ipc.landlock import landlock_version
from nsu.confined import as_root, confined_processes, status_fields, user_name
from tests.users import ONLY_ROOT


def entry(title: str, user: str) -> dict[str, Any]:
    return {"title": title, "user": user}


def test_root_is_counted_where_data_is_moved_and_nowhere_else() -> None:
    told = [entry("nsu: srw h 1:2 #0", "root"), entry("nsu: agent b 1:2 #0", "nsu"), entry("nsu: driver u", "root")]
    assert as_root([*told, entry("nsu: supervisor", "root"), entry("nsu: web", "root")]) == 2


def test_a_process_like_any_other_is_told_as_it_is() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        told = {process["pid"]: process for process in confined_processes(os.getpid())}[child.pid]
        assert told["user"] == user_name(os.geteuid())
        assert told["capabilities"] == status_fields(os.getpid())["CapEff"]
        assert not told["landlock"]
    finally:
        child.communicate(b"\n")
    assert confined_processes(child.pid) == []


@ONLY_ROOT
def test_a_confined_process_is_told_as_confined() -> None:
    code = (
        "from ipc.child import name_process; from ipc.confinement import User, confine_to_drives;"
        "name_process('nsu: srw h 127.0.0.1:1 #0'); confine_to_drives(User('nobody', 65534, 65534));"
        "print(1, flush=True); input()"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        child.stdout.readline()
        told = {process["pid"]: process for process in confined_processes(os.getpid())}[child.pid]
        assert (told["no_new_privileges"], told["capabilities"]) == (True, "0000000000000000")
        assert (told["user"], told["landlock"]) == (user_name(65_534), landlock_version() > 0)
    finally:
        child.communicate(b"\n")
