"""Version 0x02 on the wire, declared once: the same 512 bytes, the padding put to use.

All numbers are big-endian. The sixteen words stand where Appendix C has them; zn_reqsz and zn_lba are 64
bits.

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
     64    8 session_epoch
     72    4 path
     76    4 generation
     80    4 payload_crc
     84    4 verifier
     88    4 trace_2s
     92    4 trace_3s
     96    4 trace_4s
    100    4 trace_5s
    104    4 trace_6s
    108    4 trace_spare
    112   16 reserved_112
    128  256 text
    384   32 nonce
    416   32 proof
    448    4 supported
    452   56 reserved_452
    508    4 header_crc

The greeting of step 2 has this layout too whenever more than version 0x01 is offered; its first 64 bytes are
those a version 0x01 host expects. These declarations are for reading and for proving `codec.py` equal.
"""

from construct import Bytes, Int32ub, Int64ub, Struct

from protocol.limits import HEADER_BYTES

HEADER = Struct(
    "zn_type" / Int32ub * "Always 1.",
    "zn_version" / Int32ub * "2; in step 2 the mask of offered versions.",
    "zn_hostid" / Int32ub * "Session number, granted in step 5.",
    "zn_zlun" / Int32ub * "The unit, counted from 0 for each host.",
    "zn_authentic" / Int32ub * "0.",
    "zn_sequence" / Int32ub * "Counts the requests of a path from 0, modulo 2**32; the answer echoes it.",
    "zn_nsequence" / Int32ub * "0.",
    "zn_op" / Int32ub * "The operation, see the table of operations.",
    "zn_flags" / Int32ub * "Flags of a request; the detail number of a failed answer.",
    "zn_requestid"
    / Int32ub
    * "Data socket: the host's tag. Configuration socket: counts questions from 1; 0 is a pushed notice.",
    "zn_status" / Int32ub * "Answer: 0 or an errno number; 0xFFFFFFFF where Appendix D says -1.",
    "zn_reqsz_hi" / Int32ub * "High word of the size.",
    "zn_reqsz_lo" / Int32ub * "Low word of the size in bytes; on the configuration socket a cookie, count or kind.",
    "zn_lba_hi" / Int32ub * "High word of the first block.",
    "zn_lba_lo" / Int32ub * "Low word of the first block of 512 bytes.",
    "zn_marker" / Int32ub * "Random magic of this path, granted at its login.",
    "session_epoch" / Int64ub * "Epoch of the session: a number that never comes again.",
    "path" / Int32ub * "Number of the path within the session.",
    "generation" / Int32ub * "Generation of the unit that the request means; of Z_PING see there.",
    "payload_crc" / Int32ub * "CRC32C of the payload, when PAYLOAD_CRC is flagged; of the list in a config answer.",
    "verifier"
    / Int32ub
    * "Grant of step 5: the write verifier, 0 when the NSU has none to tell; 0 in all other messages.",
    "trace_2s" / Int32ub * "2S of Figure 6, nanoseconds since 1S, when TRACE is flagged.",
    "trace_3s" / Int32ub * "3S, likewise.",
    "trace_4s" / Int32ub * "4S, likewise.",
    "trace_5s" / Int32ub * "5S, likewise.",
    "trace_6s" / Int32ub * "6S, likewise.",
    "trace_spare" / Int32ub * "0, a time to come.",
    "reserved_112" / Bytes(16) * "Zeros.",
    "text" / Bytes(256) * "UTF-8, NUL-padded: the sentence of a refusal, the NSU's name (step 2), the login (step 3).",
    "nonce" / Bytes(32) * "The server's nonce (step 2), the host's (step 3), a path's (Z_OPEN_PATH).",
    "proof" / Bytes(32) * "HMAC-SHA-256: the host's (step 3), the server's (step 5), a path's tokens.",
    "supported" / Int32ub * "Step 3: the mask of versions this host may speak.",
    "reserved_452" / Bytes(56) * "Zeros.",
    "header_crc" / Int32ub * "CRC32C of bytes 0 to 507.",
)

UNIT_RECORD = Struct(
    "number" / Int32ub * "`zn_zlun` of the unit.",
    "generation" / Int32ub * "Each request names the generation it means.",
    "blocks" / Int64ub * "Capacity in blocks of 512 bytes.",
    "flags" / Int32ub * "READ_ONLY 1, ZERO 2, FLUSH 4, FUA 8, TRIM 16, WRITE_ZEROES 32.",
    "reserved" / Int32ub * "0.",
    "uuid" / Bytes(16) * "The unit's own name for ever.",
    "reserved_40" / Bytes(24) * "Zeros.",
    "name" / Bytes(64) * "UTF-8, NUL-padded.",
)

assert HEADER.sizeof() == HEADER_BYTES
assert UNIT_RECORD.sizeof() == 128
