"""What is said without an NBD client, and how its threads are counted; the rest: tests/system/test_kernel_client.py."""

import errno
from pathlib import Path

import pytest

from hostside.frontends import nbd_device
from hostside.frontends.nbd_device import NbdDevices, receivers


def test_without_the_module_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nbd_device, "FAMILY", "no such client")
    with pytest.raises(OSError, match=r"modprobe nbd.*SHOW = socket or SHOW = loop") as caught:
        NbdDevices()
    assert caught.value.errno == errno.ENODEV


def test_receivers_are_counted_by_the_work_in_their_names(tmp_path: Path) -> None:
    names = ["kworker/u9:1+nbd1-recv", "nbd1-recv+nbd1-recv", "kworker/R-nbd1-+nbd1-recv"]
    others = ["nbd1-recv", "kworker/u9:2-nbd1-recv", "kworker/u9:3+nbd11-recv", "nsu: disk"]
    for number, name in enumerate([*names, *others], 100):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "comm").write_text(f"{name}\n")
    (tmp_path / "self").mkdir()
    assert receivers(1, proc=tmp_path) == len(names)
