"""Proves: whatever errno number comes from below, one of NBD's eight goes out."""

import errno

import pytest

from hostside.frontends.nbd_protocol.errors import nbd_error
from hostside.frontends.nbd_protocol.numbers import NbdError


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (errno.EROFS, NbdError.EPERM),
        (errno.EACCES, NbdError.EPERM),
        (errno.EDQUOT, NbdError.ENOSPC),
        (errno.EFBIG, NbdError.ENOSPC),
        (errno.ENXIO, NbdError.EIO),
        (errno.ESTALE, NbdError.EIO),
        (errno.ESHUTDOWN, NbdError.ESHUTDOWN),
        (errno.EOPNOTSUPP, NbdError.EINVAL),
        (0xFFFFFFFF, NbdError.EIO),
    ],
)
def test_mapping(number: int, error: NbdError) -> None:
    assert nbd_error(number) is error


def test_every_number_has_one() -> None:
    assert {nbd_error(number) for number in errno.errorcode} <= set(NbdError)
