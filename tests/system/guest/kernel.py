"""Debian's cloud kernel, unpacked into a cache folder: no installation, no right but that to download."""

import lzma
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

META_PACKAGE = "linux-image-cloud-amd64"
_DEPENDS = re.compile(rb"\0depends=([^\0]*)\0")


@dataclass(frozen=True)
class Kernel:
    """A kernel and its modules, as the package has them."""

    folder: Path

    @property
    def image(self) -> Path:
        return next((self.folder / "boot").glob("vmlinuz-*"))

    def modules(self, *names: str) -> list[Path]:
        """Give the files of the modules and of all they depend on, in an order in which they can be loaded.

        What the kernel has built in is left out.
        """
        files = {_name(path.name): path for path in self.folder.glob("lib/modules/*/kernel/**/*.ko*")}
        built_in = {
            _name(line)
            for path in self.folder.glob("lib/modules/*/modules.builtin")
            for line in path.read_text().splitlines()
        }
        found: dict[Path, None] = {}

        def add(name: str) -> None:
            if name in built_in:
                return
            path = _unpacked(files[name])
            for needed in _depends(path):
                add(_name(needed))
            found.setdefault(path)

        for name in names:
            add(_name(name))
        return list(found)


def _name(module: str) -> str:
    """Give the module's name of a path, or of a name as people write it."""
    return Path(module.strip()).name.partition(".ko")[0].replace("-", "_")


def _unpacked(module: Path) -> Path:
    """Unpack beside itself what newer packages have compressed: busybox can't load it."""
    if module.suffix != ".xz":
        return module
    plain = module.with_suffix("")
    plain.write_bytes(lzma.decompress(module.read_bytes()))
    return plain


def _depends(module: Path) -> Iterator[str]:
    found = _DEPENDS.search(module.read_bytes())
    if found is not None and found[1]:
        yield from found[1].decode().split(",")


@cache
def debian_kernel() -> Kernel:
    """Give the kernel, downloaded once per machine; skip the test that asks when it can't be had."""
    for program, package in (("qemu-system-x86_64", "qemu-system-x86"), ("busybox", "busybox-static")):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed: apt-get install {package}")
    libraries = subprocess.run(
        ["ldd", str(shutil.which("busybox"))], capture_output=True, text=True, check=False
    ).stdout
    if "=>" in libraries:
        pytest.skip("busybox needs libraries, which the guest has not: apt-get install busybox-static")
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        pytest.skip(f"this is no Debian: there is no apt-get to download {META_PACKAGE} with")
    folder = _cache_folder() / _package()
    if not folder.exists():
        _download(folder)
    return Kernel(folder)


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nsu-tests"


def _package() -> str:
    """Name the package behind the meta package, with the kernel's version in it."""
    shown = subprocess.run(["apt-cache", "depends", META_PACKAGE], capture_output=True, text=True, check=False).stdout
    found = re.search(r"linux-image-[0-9]\S*", shown)
    if found is None:
        pytest.skip(f"apt-get knows no {META_PACKAGE} here: apt-get update, or another distribution")
    return found[0]


def _download(folder: Path) -> None:
    """Download and unpack beside `folder`, then rename: it is whole or not there."""
    fresh = folder.with_name(f".{folder.name}.{os.getpid()}")
    fresh.mkdir(parents=True)
    try:
        done = subprocess.run(
            ["apt-get", "download", folder.name], cwd=fresh, capture_output=True, text=True, check=False, timeout=100
        )
        archives = list(fresh.glob("*.deb"))
        if done.returncode or not archives:
            pytest.skip(f"{folder.name} can't be downloaded: {done.stderr.strip()}")
        subprocess.run(["dpkg-deb", "-x", archives[0], fresh], check=True)
        archives[0].unlink()
        fresh.rename(folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
