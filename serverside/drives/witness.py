"""The one door to sync_file_range(2): ask whether write-back has failed, without writing anything back.

With SYNC_FILE_RANGE_WAIT_BEFORE over one byte the kernel waits for at most one page and then checks the error
mark of the whole file (mm: `file_check_and_advance_wb_err`), which is the check that fsync makes. So an open
file description that nobody syncs through can be asked, cheaply, what happened since it was opened.
"""

import ctypes
import errno
import os

WAIT_BEFORE = 1

_libc = ctypes.CDLL(None, use_errno=True)
_sync_file_range = _libc.sync_file_range
_sync_file_range.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
_sync_file_range.restype = ctypes.c_int


def raise_unreported_error(fd: int) -> None:
    """Raise the OSError of a failed write-back that this open file description has not reported yet."""
    while _sync_file_range(fd, 0, 1, WAIT_BEFORE) != 0:
        number = ctypes.get_errno()
        if number == errno.ENOSYS:
            return
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number))
