"""The systemd unit, and the line for fstab in the docs, as systemd reads them: nsu between network and mounts."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
GENERATOR = Path("/usr/lib/systemd/system-generators/systemd-fstab-generator")

pytestmark = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed: apt-get install systemd"
)


def verify(*units: Path) -> str:
    """Have systemd complain; what it says."""
    command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=one", *map(str, units)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    ours = [line for line in (done.stdout + done.stderr).splitlines() if "nsu" in line or "unit_1" in line]
    return "\n".join(ours)


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit, with commands that exist on the machine of the test."""
    text = (REPOSITORY / "etc/nsu.service").read_text()
    assert "ExecStart=/usr/bin/nsu run -c /etc/nsu.conf\n" in text
    path = tmp_path / "nsu.service"
    path.write_text(text.replace("/usr/bin/nsu", sys.executable).replace("/sbin/modprobe", sys.executable))
    return path


def test_systemd_has_nothing_against_the_unit(unit: Path) -> None:
    assert verify(unit) == ""


def test_systemd_has_nothing_against_the_stricter_one_either(unit: Path) -> None:
    """And it knows what both say: a word that it does not know, it would leave out with a warning."""
    folder = unit.with_name("nsu.service.d")
    folder.mkdir()
    strict = folder / "strict.conf"
    strict.write_text((REPOSITORY / "etc/nsu-strict.conf").read_text())
    assert verify(unit) == ""
    strict.write_text(strict.read_text().replace("ProtectSystem=strict", "ProtectSystem=very"))
    assert "very" in verify(unit)


@pytest.mark.parametrize("with_strict", [False, True])
def test_systemd_counts_what_the_unit_leaves_open(unit: Path, with_strict: bool) -> None:
    """What systemd itself takes the unit for: the exposure it counts, of ten, and some of what it must not allow."""
    if with_strict:
        folder = unit.with_name("nsu.service.d")
        folder.mkdir()
        (folder / "strict.conf").write_text((REPOSITORY / "etc/nsu-strict.conf").read_text())
    command = ["systemd-analyze", "security", "--offline=yes", "--no-pager", str(unit)]
    told = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60).stdout
    found = re.search(r"exposure level for nsu.service: ([0-9.]+)", told)
    assert found is not None, told
    assert float(found[1]) <= (4.6 if with_strict else 6.2)
    for never in ("CAP_SYS_MODULE", "CAP_MKNOD", "NoNewPrivileges=", "RestrictSUIDSGID="):
        assert re.search(rf"✓ [^ ]*{never}", told), never


def test_a_mistake_in_a_unit_is_found(unit: Path) -> None:
    unit.write_text(unit.read_text().replace("KillMode=mixed", "KillMode=mild").replace("RestartSec=1", "RestrtSec=1"))
    assert "kill mode" in verify(unit)
    assert "RestrtSec" in verify(unit)


@pytest.mark.skipif(not GENERATOR.exists(), reason="systemd-fstab-generator is not installed: apt-get install systemd")
def test_the_line_for_fstab_puts_the_mount_after_nsu(unit: Path, tmp_path: Path) -> None:
    found = re.search(r"```fstab\n(.*?)```", (REPOSITORY / "docs/systems.md").read_text(), re.DOTALL)
    assert found is not None
    (tmp_path / "fstab").write_text(found[1])
    folders = [tmp_path / name for name in ("normal", "early", "late")]
    for folder in folders:
        folder.mkdir()
    subprocess.run([GENERATOR, *folders], env={**os.environ, "SYSTEMD_FSTAB": str(tmp_path / "fstab")}, check=True)
    mount = folders[0] / "srv-unit_1.mount"
    lines = mount.read_text().splitlines()
    assert "After=nsu.service" in lines
    assert "Requires=nsu.service" in lines
    assert (folders[0] / "remote-fs.target.wants/srv-unit_1.mount").is_symlink(), "it is not among the remote ones"
    assert verify(unit, mount) == ""
