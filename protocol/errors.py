"""Every exception of this room.

ProtocolError
 ├─ LocalProtocolError         our own caller did what the state does not allow: a bug on this machine
 └─ RemoteProtocolError        the other side did: close the socket, say `sentence`
     ├─ VersionMismatch        no common version at or above this host's floor (Appendix D (3))
     ├─ LoginRefused           the NSU answered -1 (Appendix D (5) and (15))
     └─ ServerNotProven        the NSU did not prove that it knows the secret

A refused request is no exception: it is an answer (`data_base.Refusal`), and it costs its sender nothing
else.
"""


class ProtocolError(Exception):
    """Anything that ends a conversation."""


class LocalProtocolError(ProtocolError):
    """Our own caller did what the state of the conversation does not allow."""


class RemoteProtocolError(ProtocolError):
    """The other side broke the frame or the dialogue; the edge closes the socket and reports `sentence`."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class VersionMismatch(RemoteProtocolError):  # noqa: N818 - Appendix D (3) calls it so: "version mismatch error"
    """The two bitmasks share no version that this host may speak."""


class LoginRefused(RemoteProtocolError):  # noqa: N818 - says who did what
    """The NSU refused the login; `sentence` is its own where the version carries one."""


class ServerNotProven(RemoteProtocolError):  # noqa: N818 - says who did what
    """The NSU granted the login without proof that it knows the secret: an impostor, or a changed message."""
