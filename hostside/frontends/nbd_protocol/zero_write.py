"""Zeroing by hand, where the client forbids holes."""

from typing import Final

from hostside.frontends.nbd_protocol.transaction import Transaction
from protocol.limits import SPLIT_BYTES
from protocol.ops import Op

_WRITE: Final = int(Op.WRITE)
_ZEROES: Final = memoryview(bytes(SPLIT_BYTES))


class ZeroWrite(Transaction):
    """WRITE_ZEROES with NBD_CMD_FLAG_NO_HOLE: "the area MUST be fully provisioned".

    The server below may zero by making holes, so the only honest way is to write the zeroes.
    """

    @property
    def complete(self) -> bool:
        """Every part has been asked for, or one has failed."""
        return self.next_bytes == self.end_bytes or self.refusal is not None

    def take(self, view: memoryview, start: int, end: int) -> int:
        """See Transaction."""
        del view, end
        self.waits_for_room = False
        while not self.complete:
            request = self.ask_part(_WRITE)
            if request is None:
                break
            for target in request.views:
                target[:] = _ZEROES[: len(target)]
            self.submit(request)
        return start

    def answer(self) -> None:
        """See Transaction."""
        self.account.answer(self.cookie, self.refusal)
