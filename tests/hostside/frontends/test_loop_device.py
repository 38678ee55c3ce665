"""Proves: a loop device over any file, with its size; what somebody serves is not taken for left behind."""

from pathlib import Path

from hostside.frontends import loop_device
from tests.hostside.frontends.file_server import MIB, NEEDS_LOOP

pytestmark = NEEDS_LOOP


def test_attach_grow_find_detach(tmp_path: Path) -> None:
    file = tmp_path / ("long" * 20) / "unit_1"
    file.parent.mkdir()
    with file.open("wb") as handle:
        handle.truncate(4 * MIB)
    device = loop_device.attach(file, read_only=False)
    try:
        assert loop_device.is_attached(device)
        size = Path(f"/sys/block/{device.name}/size")
        assert int(size.read_text()) * 512 == 4 * MIB
        with file.open("r+b") as handle:
            handle.truncate(8 * MIB)
        loop_device.grow(device, file)
        assert int(size.read_text()) * 512 == 8 * MIB
        assert not list(loop_device.left_behind(file, tmp_path / "link"))  # it is there: somebody serves it
        assert not list(loop_device.left_behind(tmp_path / "other" / "unit_1", tmp_path / "link"))
    finally:
        loop_device.detach(device)
    assert not loop_device.is_attached(device)
    loop_device.detach(device)  # harmless twice
