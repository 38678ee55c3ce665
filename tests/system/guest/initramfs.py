"""What the guest boots from: a cpio archive ("newc", the kernel's Documentation/driver-api/early-userspace)."""

import importlib.util
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from tests.system.guest.kernel import Kernel

REPOSITORY = Path(__file__).parents[3]
INIT = f"""#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/sbin:/bin HOME=/ PYTHONPATH={":".join(filter(None, sys.path))}
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in /modules/*.ko; do insmod $module; done
ip link set lo up
cd {REPOSITORY}
. /run.sh
sync
echo GUEST ENDS
poweroff -f
"""
_UNCHECKED = (1).to_bytes(4, "little")
_LIBRARY = re.compile(r"(/\S+) \(0x")
_LIST_MODULES = """
import sys, importlib
for name in sys.argv[1:]:
    importlib.import_module(name)
for module in list(sys.modules.values()):
    for name in ("__file__", "__cached__"):
        path = getattr(module, name, None)
        if path:
            print(path)
"""


class Initramfs:
    """An archive being packed. Without `add_script` the guest boots and powers off."""

    def __init__(self, kernel: Kernel, *modules: str) -> None:
        self._files: dict[str, tuple[int, bytes]] = {}
        """Path without the first slash -> mode, content."""
        for folder in ("proc", "sys", "dev", "tmp", "mnt", "run"):
            self._add(folder, stat.S_IFDIR | 0o755, b"")
        busybox = shutil.which("busybox")
        assert busybox is not None
        self.add_file("/bin/busybox", Path(busybox))
        self.add_text("/init", INIT)
        self.add_text("/run.sh", "")
        for number, path in enumerate(kernel.modules(*modules)):
            self.add_file(f"/modules/{number:02}-{path.name}", path)

    def add_text(self, at: str, text: str) -> None:
        self._add(at, stat.S_IFREG | 0o755, text.encode())

    def add_script(self, text: str) -> None:
        """Have the shell run `text` once the machine is up; then it powers off."""
        self.add_text("/run.sh", text)

    def add_file(self, at: str, source: Path) -> None:
        self._add(at, stat.S_IFREG | (source.stat().st_mode & 0o777), source.read_bytes())

    def add_source(self, path: str) -> None:
        """Add a file of the repository, named from its top, at the place it has here."""
        self.add_file(str(REPOSITORY / path), REPOSITORY / path)

    def add_program(self, program: str) -> None:
        """Add a program of this machine, with its libraries, under /sbin."""
        path = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
        assert path is not None, f"{program} is not installed"
        self.add_file(f"/sbin/{program}", Path(path))
        self._add_libraries(Path(path))

    def add_python(self, *modules: str) -> None:
        """Add this Python as /bin/python3, with `modules` and all that they import, and nothing else."""
        executable = Path(sys.executable).resolve()
        self.add_file(str(executable), executable)
        self._add_libraries(executable)
        self._add("/bin/python3", stat.S_IFLNK | 0o777, str(executable).encode())
        done = subprocess.run(
            [sys.executable, "-c", _LIST_MODULES, "encodings.idna", "encodings.latin_1", *modules],
            capture_output=True, text=True, check=True, cwd=REPOSITORY,
        )  # fmt: skip
        versions = [str(path) for folder in sys.path for path in Path(folder).glob("*.dist-info/METADATA")]
        for line in done.stdout.splitlines() + versions:
            path = REPOSITORY / line
            if path.is_file() and str(path).removeprefix("/") not in self._files:
                self._add_module(path)

    def _add_module(self, path: Path) -> None:
        if path.suffix != ".pyc":
            self.add_file(str(path), path)
            if ".so" in path.name:
                self._add_libraries(path)
            return
        code = path.read_bytes()
        source = Path(importlib.util.source_from_cache(str(path)))
        if int.from_bytes(code[8:12], "little") == int(source.stat().st_mtime):
            # The archive has no times, by which Python would see that this is up to date: PEP 552's "unchecked
            # hash-based" says that it is. Compiling all of it anew takes the guest half a minute.
            self._add(str(path), stat.S_IFREG | 0o644, code[:4] + _UNCHECKED + bytes(8) + code[16:])

    def _add_libraries(self, path: Path) -> None:
        shown = subprocess.run(["ldd", path], capture_output=True, text=True, check=False).stdout
        for library in _LIBRARY.findall(shown):
            if library.removeprefix("/") not in self._files:
                self.add_file(library, Path(library))

    def _add(self, at: str, mode: int, content: bytes) -> None:
        name = at.removeprefix("/")
        for folder in reversed(Path(name).parents[:-1]):
            self._files.setdefault(str(folder), (stat.S_IFDIR | 0o755, b""))
        self._files[name] = (mode, content)

    def write(self, to: Path) -> Path:
        """Write the archive, uncompressed: the emulated processor unpacks nothing."""
        members = [*self._files.items(), ("TRAILER!!!", (0, b""))]
        with open(to, "wb") as out:
            for inode, (name, (mode, content)) in enumerate(members, 1):
                out.writelines(_member(inode, name, mode, content))
        return to


def _member(inode: int, name: str, mode: int, content: bytes) -> Iterable[bytes]:
    """Give header, name and content, each padded to four bytes."""
    path = name.encode() + b"\0"
    fields = (inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(path), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + path
    return (head, bytes(-len(head) % 4), content, bytes(-len(content) % 4))
