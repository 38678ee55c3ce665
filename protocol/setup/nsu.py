"""The NSU's end of set-up: pure; frames in, answers out, an order once.

Guarantees:
- Nothing is done for whoever does not know the claim key, and no memory is kept for him: until an order can be opened,
  all that is known of a talk is in its messages. The NSU's nonce is an HMAC over HELLO with a secret of the epoch.
- An order is handed out at most once. The same message again is answered by the same result, without being done again.
  After an order, done or failed, the keys of all talks are thrown away: none of them can be played again.
- An epoch's keys are taken for EPOCH_S at most: an order that somebody holds back is worth nothing after that.
- TRIES wrong proofs are followed by PAUSE_S in which nothing is looked at. That is for all, as a sender can take any
  MAC: who can send on the segment can hold a set-up up, and not do one.
- A claimed NSU says that it is, and nothing else.
"""

import hashlib
import hmac
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from protocol.setup.agreement import Keys, Seen, agree
from protocol.setup.cipher import KeyPair, seal, unseal
from protocol.setup.claim_key import Random
from protocol.setup.messages import Claim, Kind, Message, Opening, Reason, is_whole, read_claim, read_opening, refusal
from protocol.setup.order import Order, Result, read_order, result_bytes
from protocol.setup.states import NSU, Nsu, NsuEvent

EPOCH_S: Final = 120.0
FRESH_S: Final = 60.0
"""A talk that begins gets an epoch that is at most so old; the former one is still taken."""
TRIES: Final = 5
PAUSE_S: Final = 60.0
ASKED: Final = frozenset({Kind.HELLO, Kind.PROVE, Kind.ORDER})


class _Epoch:
    """A key pair, and the secret its nonces are made from."""

    def __init__(self, random: Random, now_s: float) -> None:
        self.pair = KeyPair(random)
        self.secret = random(32)
        self.began_s = now_s

    def seen(self, nsu_mac: bytes, admin_mac: bytes, hello: Opening) -> Seen:
        nonce = hmac.digest(self.secret, admin_mac + nsu_mac + hello.bytes(), "sha256")
        return Seen(admin_mac, nsu_mac, hello.nonce, nonce, hello.public, self.pair.public)


@dataclass(frozen=True, slots=True)
class Todo:
    """An order to be carried out; `finish` takes what became of it."""

    order: Order
    admin_mac: bytes
    result_key: bytes
    digest: bytes


@dataclass(slots=True)
class Counts:
    """What strangers and administrators have sent."""

    hellos: int = 0
    wrong_proofs: int = 0
    paused: int = 0
    """Messages that were not looked at, as too many proofs had been wrong."""
    stale: int = 0
    malformed: int = 0
    claimed: int = 0
    """Messages that came after the claim."""
    repeated: int = 0
    orders_done: int = 0
    orders_failed: int = 0


class Responder:
    """One NSU's end, for all its interfaces. `clock`: seconds that never go back."""

    def __init__(self, claim_key: bytes, random: Random, clock: Callable[[], float], *, claimed: bool = False) -> None:
        self.claim_key = claim_key
        self.random = random
        self.clock = clock
        self.state = Nsu.CLAIMED if claimed else Nsu.UNCLAIMED
        self.counts = Counts()
        self._wrong = 0
        self._paused_until_s = 0.0
        self._epochs: list[_Epoch] = []
        """The present one, and the one before it."""
        self._last: tuple[bytes, Message] | None = None
        """The digest of the last order that was handed out, and its answer."""

    def receive(self, nsu_mac: bytes, admin_mac: bytes, kind: int, body: bytes) -> Message | Todo | None:
        """Take a message that came to the interface with `nsu_mac`; give the answer, or the order to be done."""
        if not is_whole(kind, body) or kind not in ASKED:
            self.counts.malformed += 1
            return None
        now_s = self.clock()
        if kind == Kind.ORDER and self._last is not None and self._last[0] == _digest(nsu_mac, admin_mac, body):
            self.counts.repeated += 1
            return self._last[1]
        if self.state is Nsu.PAUSED and now_s >= self._paused_until_s:
            self._move(NsuEvent.PAUSE_OVER)
        if self.state is not Nsu.UNCLAIMED:
            return self._closed(now_s)
        if kind == Kind.HELLO:
            return self._offer(nsu_mac, admin_mac, read_opening(body), now_s)
        return self._judge(nsu_mac, admin_mac, Kind(kind), body, now_s)

    def finish(self, todo: Todo, result: Result) -> Message:
        """Take what became of an order; give its answer, which is the answer of each repetition too."""
        assert self.state is Nsu.APPLYING
        self._move(NsuEvent.DONE if result.done else NsuEvent.FAILED)
        self.counts.orders_done += result.done
        self.counts.orders_failed += not result.done
        self._epochs.clear()
        answer = Message(Kind.RESULT, seal(todo.result_key, result_bytes(result)))
        self._last = (todo.digest, answer)
        return answer

    def _closed(self, now_s: float) -> Message | None:
        if self.state is Nsu.CLAIMED:
            self.counts.claimed += 1
            return refusal(Reason.CLAIMED)
        if self.state is Nsu.PAUSED:
            self.counts.paused += 1
            return refusal(Reason.PAUSED, math.ceil(self._paused_until_s - now_s))
        return None

    def _offer(self, nsu_mac: bytes, admin_mac: bytes, hello: Opening, now_s: float) -> Message:
        self.counts.hellos += 1
        self._epochs = [epoch for epoch in self._epochs if now_s < epoch.began_s + EPOCH_S]
        if not self._epochs or now_s >= self._epochs[0].began_s + FRESH_S:
            self._epochs = [_Epoch(self.random, now_s), *self._epochs[:1]]
        seen = self._epochs[0].seen(nsu_mac, admin_mac, hello)
        return Message(Kind.OFFER, Opening(seen.nsu_nonce, seen.nsu_public).bytes())

    def _judge(self, nsu_mac: bytes, admin_mac: bytes, kind: Kind, body: bytes, now_s: float) -> Message | Todo:
        claim = read_claim(body)
        epoch = next((one for one in self._epochs if one.pair.public == claim.nsu_public), None)
        if epoch is None or now_s >= epoch.began_s + EPOCH_S:
            self.counts.stale += 1
            return refusal(Reason.STALE)
        shared = epoch.pair.shared(claim.hello.public)
        if shared is None:
            return self._wrong_proof(now_s)
        keys = agree(shared, self.claim_key, epoch.seen(nsu_mac, admin_mac, claim.hello))
        if kind == Kind.PROVE:
            proven = hmac.compare_digest(claim.said, keys.admin_proof)
            return Message(Kind.PROVEN, keys.nsu_proof) if proven else self._wrong_proof(now_s)
        return self._take_order(claim, keys, admin_mac, _digest(nsu_mac, admin_mac, body), now_s)

    def _take_order(self, claim: Claim, keys: Keys, admin_mac: bytes, digest: bytes, now_s: float) -> Message | Todo:
        plain = unseal(keys.order, claim.said)
        if plain is None:
            return self._wrong_proof(now_s)
        self._move(NsuEvent.ORDER)
        self._wrong = 0
        order = read_order(plain)
        if order is not None:
            return Todo(order, admin_mac, keys.result, digest)
        nothing = Todo(Order("", (), ""), admin_mac, keys.result, digest)
        return self.finish(nothing, Result(False, "this NSU does not understand the order: it is of another version"))

    def _wrong_proof(self, now_s: float) -> Message:
        self.counts.wrong_proofs += 1
        self._wrong += 1
        if self._wrong >= TRIES:
            self._wrong = 0
            self._paused_until_s = now_s + PAUSE_S
            self._move(NsuEvent.TOO_MANY_WRONG)
        return refusal(Reason.WRONG_KEY)

    def _move(self, event: NsuEvent) -> None:
        self.state = NSU[self.state][event]


def _digest(nsu_mac: bytes, admin_mac: bytes, body: bytes) -> bytes:
    return hashlib.sha256(nsu_mac + admin_mac + body).digest()
