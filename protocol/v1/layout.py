"""Version 0x01 on the wire, declared once: Appendix C's znreq_t and the lists of Appendix D.

All numbers are big-endian ("All fields are individually converted to network order"); data is not converted.

znreq_t, znres_t:
 OFFSET SIZE MEANING
      0    4 zn_type
      4    4 zn_version
      8    4 zn_hostid
     12    4 zn_zlun
     16    4 zn_authentic
     20    4 zn_sequence
     24    4 zn_nsequence
     28    4 zn_op
     32    4 zn_flags
     36    4 zn_requestid
     40    4 zn_status
     44    4 zn_reqsz_hi
     48    4 zn_reqsz_lo
     52    4 zn_lba_hi
     56    4 zn_lba_lo
     60    4 zn_marker
     64  448 zn_pad

`unsigned long` is 4 bytes, as the listing says; a compiler that makes it 8 would declare another structure.
These declarations are for reading and for proving `codec.py` equal; nothing on the path of a block uses them.
"""

from construct import Bytes, GreedyRange, Int32ub, Int64ub, Struct

from protocol.limits import HEADER_BYTES
from protocol.records import DATAPORT

ZNREQ = Struct(
    "zn_type" / Int32ub * "Always 1.",
    "zn_version" / Int32ub * "Always 1; in step 2 the mask of offered versions, in step 3 the chosen one.",
    "zn_hostid" / Int32ub * "0. The server echoes what came.",
    "zn_zlun" / Int32ub * "The unit, counted from 0 for each host in the order of nsu.conf.",
    "zn_authentic" / Int32ub * "0, a place holder. The server echoes what came.",
    "zn_sequence" / Int32ub * "Not used: a host sends 0, the server echoes what came.",
    "zn_nsequence" / Int32ub * "Not explained by the patent: a host sends 0, the server echoes what came.",
    "zn_op" / Int32ub * "The operation, see the table of operations.",
    "zn_flags" / Int32ub * "Request: 0, no bit is defined. Failed answer: the detail number.",
    "zn_requestid" / Int32ub * "Not used: a host sends 0, the server echoes what came.",
    "zn_status" / Int32ub * "Answer: 0, an errno number, or 0xFFFFFFFF where Appendix D says -1.",
    "zn_reqsz_hi" / Int32ub * "Must be 0.",
    "zn_reqsz_lo" / Int32ub * "Size in bytes; in Appendix D the challenge, its complement, a cookie or a count.",
    "zn_lba_hi" / Int32ub * "Must be 0: ignoring it would send a write to a wrong place.",
    "zn_lba_lo" / Int32ub * "First block of 512 bytes, so that version 0x01 reaches 2 TiB.",
    "zn_marker" / Int32ub * "Not used: a host sends 0, the server echoes what came.",
    "zn_pad" / Bytes(448) * "Pads the structure to occupy exactly 512 bytes. Sent as zeros, not looked at.",
)

Z_GET_DATAPORT = Struct(
    "ip_type" / Int32ub * "4 or 6.",
    "address" / Bytes(16) * "The union: an IPv4 address in the first four bytes, the other twelve 0.",
    "portnum" / Int32ub * "TCP port.",
    "max_connections" / Int32ub * "Data connections of this host that the port takes at once.",
)

CAPACITIES = GreedyRange(Int64ub)
"""Appendix D (9): "that number of uint64_t's, which specify the capacity for each unit ... in BYTES"."""

assert ZNREQ.sizeof() == HEADER_BYTES
assert Z_GET_DATAPORT.sizeof() == DATAPORT.size == 28
