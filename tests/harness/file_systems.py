"""File systems of the kernel on a block device: made, mounted, checked by their own tools."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.programs import run

CHECKS = {"ext4": ("e2fsck", "-fn"), "xfs": ("xfs_repair", "-n")}
"""What looks at all of it, changes nothing, and ends with 0 only when all is well."""


def make_file_system(kind: str, device: Path) -> None:
    run(f"mkfs.{kind}", "-q", str(device))


def check_file_system(kind: str, device: Path) -> None:
    run(*CHECKS[kind], str(device))


@contextmanager
def mounted(device: Path) -> Iterator[Path]:
    """Mount what is on `device` at a folder of its own, which every user may enter."""
    at = Path(tempfile.mkdtemp(prefix="nsu-m-"))
    at.chmod(0o755)
    try:
        run("mount", str(device), str(at))
        yield at
        run("umount", str(at))
    except BaseException:
        subprocess.run(["umount", "--lazy", str(at)], capture_output=True, check=False)  # somebody may still be in it
        raise
    finally:
        at.rmdir()
