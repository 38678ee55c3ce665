"""The administrator's end of one talk: pure. Who sends it asks for `message` again and again until it is `over`.

Guarantees:
- Nothing is ordered before the NSU has proved that it knows the claim key.
- It says that the order was done only when the NSU has said so under seal. Once the order was sent, nothing but that
  tells that it was not done.
"""

import hmac

from protocol.setup.agreement import Keys, Seen, agree
from protocol.setup.cipher import KEY_BYTES, KeyPair, seal, unseal
from protocol.setup.claim_key import Random
from protocol.setup.messages import (
    NONCE_BYTES,
    Claim,
    Kind,
    Message,
    Opening,
    Reason,
    is_whole,
    read_opening,
    read_refusal,
)
from protocol.setup.order import Order, Result, order_bytes, read_result
from protocol.setup.states import ADMIN, Admin, AdminEvent


class Talk:
    """One talk with the NSU that has `nsu_mac`, from the interface with `admin_mac`. Raises TooLongError."""

    def __init__(self, admin_mac: bytes, nsu_mac: bytes, claim_key: bytes, order: Order, random: Random) -> None:
        self.admin_mac = admin_mac
        self.nsu_mac = nsu_mac
        self.claim_key = claim_key
        self.state = Admin.AWAIT_OFFER
        self.result: Result | None = None
        self.refusal: tuple[Reason, int] | None = None
        """The last one that came, with its seconds: proves nothing."""
        self.doubted = 0
        """Proofs and results that were not the NSU's, or altered on the way."""
        self._plain = order_bytes(order)
        self._pair = KeyPair(random)
        self._hello = Opening(random(NONCE_BYTES), self._pair.public)
        self._nsu_public = bytes(KEY_BYTES)
        self._keys: Keys | None = None
        self.message = Message(Kind.HELLO, self._hello.bytes())
        """What is to be sent, until the next step."""

    @property
    def over(self) -> bool:
        """Nothing is awaited any more."""
        return not ADMIN[self.state]

    def receive(self, kind: int, body: bytes) -> bool:
        """Take a message from the NSU's MAC; whether it was a step."""
        if not is_whole(kind, body):
            return False
        awaited = ADMIN[self.state]
        if kind == Kind.OFFER and AdminEvent.OFFER in awaited:
            return self._take_offer(read_opening(body))
        if kind == Kind.PROVEN and AdminEvent.PROVEN in awaited:
            return self._take_proof(body)
        if kind == Kind.RESULT and AdminEvent.RESULT in awaited:
            return self._take_result(body)
        return kind == Kind.REFUSAL and self._take_refusal(body)

    def _take_offer(self, offer: Opening) -> bool:
        shared = self._pair.shared(offer.public)
        if shared is None:
            self.doubted += 1
            return False
        seen = Seen(self.admin_mac, self.nsu_mac, self._hello.nonce, offer.nonce, self._hello.public, offer.public)
        self._nsu_public = offer.public
        self._keys = agree(shared, self.claim_key, seen)
        self.message = Message(Kind.PROVE, self._claim(self._keys.admin_proof))
        return self._move(AdminEvent.OFFER)

    def _take_proof(self, proof: bytes) -> bool:
        assert self._keys is not None
        if not hmac.compare_digest(proof, self._keys.nsu_proof):
            self.doubted += 1
            return False
        # Sealed once, sent as often as it takes: the key seals nothing else.
        self.message = Message(Kind.ORDER, self._claim(seal(self._keys.order, self._plain)))
        return self._move(AdminEvent.PROVEN)

    def _take_result(self, body: bytes) -> bool:
        assert self._keys is not None
        plain = unseal(self._keys.result, body)
        self.result = None if plain is None else read_result(plain)
        if self.result is None:
            self.doubted += 1
            return False
        return self._move(AdminEvent.RESULT)

    def _take_refusal(self, body: bytes) -> bool:
        said = read_refusal(body)
        if said is None:
            return False
        self.refusal = said
        return AdminEvent.REFUSAL in ADMIN[self.state] and self._move(AdminEvent.REFUSAL)

    def _claim(self, said: bytes) -> bytes:
        return Claim(self._hello, self._nsu_public, said).bytes()

    def _move(self, event: AdminEvent) -> bool:
        self.state = ADMIN[self.state][event]
        return True
