"""Programs of other people that the tests drive: run them, or skip with the reason when they are not installed."""

import shutil
import subprocess

import pytest

PACKAGES = {
    "nbdinfo": "libnbd-bin",
    "nbdcopy": "libnbd-bin",
    "qemu-img": "qemu-utils",
    "qemu-io": "qemu-utils",
    "fio": "fio",
    "nbdkit": "nbdkit",
    "qemu-nbd": "qemu-utils",
    "mkfs.ext4": "e2fsprogs",
    "lvm": "lvm2",
    "mdadm": "mdadm",
    "mkfs.xfs": "xfsprogs",
    "git": "git",
    "smartctl": "smartmontools",
    "promtool": "prometheus",
    "chromium": "chromium",
    "chromedriver": "chromium-driver",
    "openssl": "openssl",
}


def needs(program: str) -> pytest.MarkDecorator:
    """Skip a test when `program` is not here, naming the Debian package that has it."""
    reason = f"{program} is not installed: apt-get install {PACKAGES[program]}"
    return pytest.mark.skipif(shutil.which(program) is None, reason=reason)


def run(*command: str, timeout_s: float = 120.0) -> str:
    """Run to the end; give what it printed. A failure shows its whole output."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr
