"""The first 512 bytes of a data socket and their answer: Appendix D, steps 14 and 15, and what 0x02 puts
there.

The server's parent reads them under a deadline, before anything is forked. Whatever is not a whole version
0x02 login is read as step 14 of version 0x01, "All other fields in this structure are undefined": any 512
bytes are one.

A version 0x01 token is the challenge of the configuration socket, sent in clear and the same on each data
socket: it can be seen, guessed and sent again. A version 0x02 token is an HMAC with the session key over a
nonce that the server made for this path (Z_OPEN_PATH), so that it opens one socket once; the server's
answer carries a token of its own, so that a host hands no data to an impostor.
"""

from dataclasses import dataclass
from hmac import compare_digest, digest

from protocol.errors import LoginRefused, RemoteProtocolError, ServerNotProven
from protocol.ops import Op
from protocol.status import DETAILS, Detail, Status
from protocol.v1 import codec as v1
from protocol.v2 import codec as v2
from protocol.v2.messages import reason, refusal
from protocol.versions import V1, V2


@dataclass(frozen=True, slots=True)
class V1Token:
    """Appendix D (14): "the pseudo-random number it received from the NSU in Step (2)"."""

    challenge: int


@dataclass(frozen=True, slots=True)
class V2Token:
    """A version 0x02 login; compare `token` with `path_token` by `hmac.compare_digest`, then forget the
    nonce.
    """

    session: int
    epoch: int
    path: int
    token: bytes


def parse_first(header: bytes) -> V1Token | V2Token:
    """Read the first 512 bytes of a data socket; every pattern is a token of one version or the other."""
    assert len(header) == 512, len(header)
    words = v1.decode(header)
    if words.zn_version == V2 and words.zn_op == Op.PATH_LOGIN and v2.is_whole(header):
        login = v2.decode(header)
        return V2Token(login.zn_hostid, login.session_epoch, login.path, login.proof)
    return V1Token(words.zn_reqsz_lo)


def path_token(session_key: bytes, role: bytes, session: int, path: int, nonce: bytes) -> bytes:
    """Give the 32-byte token of one data socket; `role`, b"host" or b"server", is who proves itself by it."""
    assert role in (b"host", b"server"), role
    where = session.to_bytes(4, "big") + path.to_bytes(4, "big")
    return digest(session_key, b"data\0" + role + b"\0" + where + nonce, "sha256")


def v1_login_message(challenge: int) -> bytes:
    """Give the host's message of step 14."""
    # Appendix D (14): the number of step 2 "put into the zn_reqsz_lo field of the structure"
    return v1.encode(v1.Header(zn_reqsz_lo=challenge))


def v1_login_answer(status: int) -> bytes:
    """Give the server's message of step 15."""
    # Appendix D (15): "with the zn_status field set to 0 on success, or -1 on failure"
    return v1.encode(v1.Header(zn_status=status))


def v1_login_refusal(detail: int) -> bytes:
    """Give the message of step 15 that refuses: -1, and the detail number beside it."""
    return v1.encode(v1.Header(zn_flags=detail, zn_status=Status.REFUSED))


def v2_login_message(session: int, epoch: int, path: int, token: bytes) -> bytes:
    """Give the host's login of version 0x02."""
    return v2.encode(v2.Header(zn_op=Op.PATH_LOGIN, zn_hostid=session, session_epoch=epoch, path=path, proof=token))


def v2_login_answer(session: int, path: int, marker: int, server_token: bytes) -> bytes:
    """Give the server's answer of version 0x02: its own token, and the marker of every header to come."""
    return v2.encode(v2.Header(zn_op=Op.PATH_LOGIN, zn_hostid=session, path=path, zn_marker=marker, proof=server_token))


def v2_login_refusal(session: int, path: int, detail: int, sentence: str = "") -> bytes:
    """Give the server's answer that refuses; without a sentence, that of the table of details."""
    header = refusal(Op.PATH_LOGIN, DETAILS[Detail(detail)].status, Detail(detail), sentence)
    return v2.encode(header._replace(zn_hostid=session, path=path))


def check_login_answer(
    version: int, header: bytes, *, session: int = 0, path: int = 0, server_token: bytes = b""
) -> int:
    """Judge the server's answer to a data socket's login and give the path's marker, 0 in version 0x01.

    LoginRefused when the server refuses, ServerNotProven when its token is not `server_token`,
    RemoteProtocolError when it is no answer to this login.
    """
    if version == V1:
        if v1.decode(header).zn_status != Status.OK:
            raise LoginRefused("The NSU refused the data socket, step 15.")
        return 0
    assert version == V2, version
    answer = v2.decode(header)
    if answer.zn_op != Op.PATH_LOGIN or (answer.zn_hostid, answer.path) != (session, path):
        raise RemoteProtocolError("The NSU's answer is to the login of another data socket.")
    if answer.zn_status != Status.OK:
        raise LoginRefused(f"The NSU refused the data socket: {reason(answer)}")
    if not compare_digest(answer.proof, server_token):
        raise ServerNotProven("The NSU did not prove that it knows the session's key.")
    return answer.zn_marker
