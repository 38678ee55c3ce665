"""The first 512 bytes of a data socket, and the answer to them."""

from contextlib import suppress

from protocol.errors import RemoteProtocolError
from protocol.limits import HEADER_BYTES, U32_MAX
from protocol.path_login import V1Token, check_login_answer, parse_first, v1_login_message, v2_login_message
from tests.fuzz.frames import RAW, mended, mode_of, shortened, stretched
from tests.protocol.goldens import golden

NAMES = ("v1_14_path_login", "v1_15_granted", "v1_15_refused", "v2_40_path_login", "v2_41_path_granted")
SERVER_TOKEN = bytes(32)


def seeds() -> list[bytes]:
    return [shortened(mode, golden(name)) for mode in (0, 1) for name in (*NAMES, "v2_42_path_refused")]


def one_input(data: bytes) -> None:
    mode, rest = mode_of(data)
    frame = rest[:HEADER_BYTES].ljust(HEADER_BYTES, b"\0") if mode == RAW else mended(stretched(rest))
    token = parse_first(frame)
    # What was understood, said again, is understood alike.
    if isinstance(token, V1Token):
        assert 0 <= token.challenge <= U32_MAX
        assert parse_first(v1_login_message(token.challenge)) == token
    else:
        assert parse_first(v2_login_message(token.session, token.epoch, token.path, token.token)) == token
    for version in (1, 2):
        with suppress(RemoteProtocolError):
            marker = check_login_answer(version, frame, session=1, path=2, server_token=SERVER_TOKEN)
            assert 0 <= marker <= U32_MAX
