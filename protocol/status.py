"""`zn_status` and the detail numbers: one table from number to name, errno and sentence.

`zn_status` of a refused or failed request is an errno number with its Linux value, on every platform, and
0xFFFFFFFF only where Appendix D says -1. `zn_flags` of a failed answer then holds a detail number of
`DETAILS`.
"""

from enum import IntEnum
from typing import NamedTuple


class Status(IntEnum):
    """`zn_status`: 0, an errno number with its Linux value, or -1 where Appendix D (5) and (15) say so."""

    OK = 0
    EIO = 5
    ENXIO = 6
    EACCES = 13
    EBUSY = 16
    EINVAL = 22
    ENOSPC = 28
    EROFS = 30
    ESHUTDOWN = 108
    ESTALE = 116
    REFUSED = 0xFFFFFFFF


class Detail(IntEnum):
    """`zn_flags` of a failed answer: which of the reasons behind one errno it was."""

    NONE = 0
    NO_SUCH_UNIT = 1
    PAST_END = 2
    ZERO_SIZE = 3
    UNALIGNED = 4
    TOO_LARGE = 5
    HIGH_WORDS = 6
    READ_ONLY = 7
    STALE_GENERATION = 8
    UNKNOWN_OP = 9
    WRONG_TYPE = 10
    WRONG_VERSION = 11
    PAYLOAD_CRC = 12
    SHUTTING_DOWN = 13
    DRIVE_FAILED = 14
    UNIT_FAILED = 15
    NO_SPACE = 16
    WRONG_COMPLEMENT = 32
    VERSION_NOT_OFFERED = 33
    LOGIN_UNPROVEN = 34
    HOST_UNKNOWN = 35
    SESSION_LIMIT = 36
    TLS_REQUIRED = 37
    TLS_UNWANTED = 38
    CERTIFICATE_NAME = 39
    PATH_NUMBER = 48
    PATH_LIMIT = 49
    PATH_TOKEN = 50


class DetailRow(NamedTuple):
    """What a detail number stands for."""

    status: Status
    sentence: str


DETAILS: dict[Detail, DetailRow] = {
    Detail.NONE: DetailRow(Status.EIO, "The request failed; no more is known."),
    Detail.NO_SUCH_UNIT: DetailRow(Status.ENXIO, "There is no such unit for this host."),
    Detail.PAST_END: DetailRow(Status.EINVAL, "The request ends past the last block of the unit."),
    Detail.ZERO_SIZE: DetailRow(Status.EINVAL, "The request has size 0; one block of 512 bytes is the least."),
    Detail.UNALIGNED: DetailRow(Status.EINVAL, "The size is not a multiple of 512 bytes."),
    Detail.TOO_LARGE: DetailRow(Status.EINVAL, "A read or write moves at most 131072 bytes."),
    Detail.HIGH_WORDS: DetailRow(Status.EINVAL, "zn_reqsz_hi and zn_lba_hi must be 0 in version 0x01."),
    Detail.READ_ONLY: DetailRow(Status.EROFS, "The unit is read-only for this host."),
    Detail.STALE_GENERATION: DetailRow(Status.ESTALE, "The unit has changed; ask for the units again."),
    Detail.UNKNOWN_OP: DetailRow(Status.EINVAL, "This version has no such operation."),
    Detail.WRONG_TYPE: DetailRow(Status.EINVAL, "zn_type must be 1."),
    Detail.WRONG_VERSION: DetailRow(Status.EINVAL, "zn_version is not the version of this socket."),
    Detail.PAYLOAD_CRC: DetailRow(Status.EIO, "The payload arrived with another CRC32C than it was sent with."),
    Detail.SHUTTING_DOWN: DetailRow(Status.ESHUTDOWN, "The NSU is shutting down; send the request again later."),
    Detail.DRIVE_FAILED: DetailRow(Status.EIO, "A drive of the array failed."),
    Detail.UNIT_FAILED: DetailRow(Status.EIO, "The array of this unit has failed."),
    Detail.NO_SPACE: DetailRow(Status.ENOSPC, "A sparse drive could not grow: its file system is full."),
    Detail.WRONG_COMPLEMENT: DetailRow(
        Status.REFUSED, "zn_reqsz_lo is not the 1's complement of the number that was sent."
    ),
    Detail.VERSION_NOT_OFFERED: DetailRow(Status.REFUSED, "The chosen version is not one that was offered."),
    Detail.LOGIN_UNPROVEN: DetailRow(
        Status.REFUSED, "The login is unknown, or its proof does not fit what this NSU sent and received."
    ),
    Detail.HOST_UNKNOWN: DetailRow(Status.REFUSED, "This host has no entry at this NSU."),
    Detail.SESSION_LIMIT: DetailRow(Status.REFUSED, "The NSU has as many sessions as it can hold."),
    Detail.TLS_REQUIRED: DetailRow(Status.REFUSED, "This host must come by TLS (TLS = required), and came in clear."),
    Detail.TLS_UNWANTED: DetailRow(Status.REFUSED, "This host must come in clear (TLS = no), and came by TLS."),
    Detail.CERTIFICATE_NAME: DetailRow(Status.REFUSED, "The certificate does not bear the name of this host."),
    Detail.PATH_NUMBER: DetailRow(Status.EINVAL, "That path number cannot be opened now."),
    Detail.PATH_LIMIT: DetailRow(Status.EBUSY, "Every connection that the data ports allow is taken."),
    Detail.PATH_TOKEN: DetailRow(Status.REFUSED, "The token of the data socket is not one that was granted."),
}

assert DETAILS.keys() == set(Detail)
