"""Errors of the NBD machines, and the way from our errno numbers to the eight that NBD knows.

NbdError (numbers.py)   a request's failure: an answer on the wire, never an exception
FrameInDoubtError       the peer broke the protocol so that nothing after it can be trusted: hang up
ExportRefusedError      (client) the server would not open the export; carries its sentence
"""

import errno
from types import MappingProxyType

from hostside.frontends.nbd_protocol.numbers import NbdError


class FrameInDoubtError(Exception):
    """The peer's fault: "Either side MAY initiate a hard disconnect if it detects a violation"."""


class ExportRefusedError(Exception):
    """The server answered, and the answer was no."""

    def __init__(self, number: int, sentence: str) -> None:
        super().__init__(sentence)
        self.number = number
        self.sentence = sentence


NBD_ERRORS = MappingProxyType(
    {
        # The specification: "it SHOULD return NBD_EPERM if it receives a write or trim request on a
        # read-only export".
        errno.EPERM: NbdError.EPERM,
        errno.EACCES: NbdError.EPERM,
        errno.EROFS: NbdError.EPERM,
        # The specification: it also "SHOULD map the EDQUOT and EFBIG errors to NBD_ENOSPC".
        errno.ENOSPC: NbdError.ENOSPC,
        errno.EDQUOT: NbdError.ENOSPC,
        errno.EFBIG: NbdError.ENOSPC,
        errno.EINVAL: NbdError.EINVAL,
        errno.ENOMEM: NbdError.ENOMEM,
        errno.EOVERFLOW: NbdError.EOVERFLOW,
        errno.ESHUTDOWN: NbdError.ESHUTDOWN,
        # "The server SHOULD NOT return NBD_ENOTSUP except" to FAST_ZERO, which we do not offer
        errno.EOPNOTSUPP: NbdError.EINVAL,
        errno.ENOSYS: NbdError.EINVAL,
    }
)
"""Whatever is not here (ENXIO, ESTALE, ETIMEDOUT ...) is EIO for a client: the disk did not do it."""


def nbd_error(number: int) -> NbdError:
    """The NBD error for an errno number other than 0."""
    return NBD_ERRORS.get(number, NbdError.EIO)
