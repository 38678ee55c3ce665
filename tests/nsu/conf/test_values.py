"""Proves each type of value: what it takes, what it gives, what it refuses; and that no text makes it raise else."""

import contextlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsu.conf import values
from nsu.conf.keys import KEYS
from nsu.conf.values import Forever, LbaRange, Owner, ValueType, ValueWrong
from serverside.settings import DataPortSettings, DriveSettings


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (values.DATA_PORT, "10.1.1.1:10002(10)", DataPortSettings("10.1.1.1", 10002, 10)),
        (values.DATA_PORT, "[fe80::1]:10002(1000)", DataPortSettings("fe80::1", 10002, 1000)),
        (values.DATA_PORT, "[FE80:0::1]:1(1)", DataPortSettings("fe80::1", 1, 1)),
        (values.ADDRESS_PORT, "127.0.0.1:10080", ("127.0.0.1", 10080)),
        (values.ADDRESS_PORT, "[::1]:65535", ("::1", 65535)),
        (values.LBA_RANGE, "unit0(0,25429823)", LbaRange("unit0", 0, 25429823)),
        (values.LBA_RANGE, "unit0 ( 5 , 5 )", LbaRange("unit0", 5, 5)),
        (values.DRIVE, "/dev/sdb", DriveSettings(Path("/dev/sdb"))),
        (values.DRIVE, "/srv/my drive.img(20GiB)", DriveSettings(Path("/srv/my drive.img"), 20 << 30)),
        (values.DRIVE, "/srv/d(1536)", DriveSettings(Path("/srv/d"), 1536)),
        (values.STRIPE, "64KiB", 65536),
        (values.STRIPE, "1 MiB", 1 << 20),
        (values.ON_NO_PATH, "queue", Forever()),
        (values.ON_NO_PATH, "fail after 60 s", 60.0),
        (values.ON_NO_PATH, "fail after 1.5s", 1.5),
        (values.YES_NO, "no", False),
        (values.LEVEL, "raid0", "raid0"),
        (values.LEVEL, "raid5", "raid5"),
        (values.ADDRESS, "0.0.0.0", "0.0.0.0"),
        (values.NUMBER, "99", 99),
        (values.OWNER, "libvirt-qemu", Owner("libvirt-qemu", "")),
        (values.OWNER, "_apt:kvm", Owner("_apt", "kvm")),
        (values.OWNER, ":64055", Owner("", "64055")),
        (values.OWNER, "0:4294967294", Owner("0", "4294967294")),
        (values.OWNER, "DOM\\some.body@example.org:box1$", Owner("DOM\\some.body@example.org", "box1$")),
        (values.MODE, "0660", 0o660),
        (values.MODE, "600", 0o600),
        (values.MODE, "0777", 0o777),
    ],
)
def test_good_values(kind: ValueType[Any], text: str, value: object) -> None:
    assert kind.read(text) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (values.DATA_PORT, "10.1.1.1:10002"),
        (values.DATA_PORT, "fe80::1:10002(10)"),
        (values.DATA_PORT, "10.1.1.1:10002(0)"),
        (values.DATA_PORT, "10.1.1.1:10002(1001)"),
        (values.DATA_PORT, "10.1.1.1:0(10)"),
        (values.DATA_PORT, "0.0.0.0:10002(10)"),
        (values.DATA_PORT, "box1:10002(10)"),
        (values.REACHABLE_ADDRESS, "::"),
        (values.REACHABLE_ADDRESS, "224.0.0.1"),
        (values.LBA_RANGE, "unit0(5,4)"),
        (values.LBA_RANGE, "unit0(-1,4)"),
        (values.LBA_RANGE, "unit0(0;4)"),
        (values.LBA_RANGE, f"unit0(0,{1 << 54})"),
        (values.LBA_RANGE, f"unit0(0,{'9' * 5000})"),
        (values.DRIVE, "drive.img"),
        (values.DRIVE, "/srv/d(20GB)"),
        (values.DRIVE, "/srv/d(1000)"),
        (values.DRIVE, "/srv/d(0)"),
        (values.DRIVE, "/srv/d(1GiB"),
        (values.STRIPE, "2KiB"),
        (values.STRIPE, "65MiB"),
        (values.STRIPE, "5000"),
        (values.ON_NO_PATH, "fail"),
        (values.ON_NO_PATH, "fail after 0 s"),
        (values.ON_NO_PATH, "fail after 60 min"),
        (values.PORT, "٣"),
        (values.PORT, "65536"),
        (values.YES_NO, "true"),
        (values.NAME, "-x"),
        (values.NAME, "a" * 65),
        (values.PATH, "state"),
        (values.NUMBER, "100"),
        (values.OWNER, ":"),
        (values.OWNER, "root:"),
        (values.OWNER, "root:kvm:kvm"),
        (values.OWNER, "root kvm"),
        (values.OWNER, "-1"),
        (values.OWNER, "4294967295"),
        (values.OWNER, f":{'9' * 200}"),
        (values.MODE, "0o660"),
        (values.MODE, "4755"),
        (values.MODE, "0680"),
        (values.MODE, "rw-rw----"),
        (values.MODE, "60"),
    ],
)
def test_bad_values(kind: ValueType[Any], text: str) -> None:
    with pytest.raises(ValueWrong):
        kind.read(text)


digits_and_signs = st.text(alphabet="0123456789.:()[],/ abfKMGiBs\u0663%-", max_size=40)


@given(st.one_of(st.text(max_size=40).filter(str.isprintable), digits_and_signs))
def test_nothing_but_value_wrong_is_ever_raised(text: str) -> None:
    for key in KEYS:
        with contextlib.suppress(ValueWrong):
            key.type.read(text)
