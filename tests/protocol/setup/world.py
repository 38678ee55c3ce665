"""Both ends of a set-up, without wire and clock: frames are handed over by the test."""

import random
from collections.abc import Callable

from protocol.setup.admin import Talk
from protocol.setup.messages import Message
from protocol.setup.nsu import Responder, Todo
from protocol.setup.order import Order, Result

ADMIN_MAC, NSU_MAC = b"\x02aaaaa", b"\x02nnnnn"
CLAIM_KEY = b"k" * 20
ORDER = Order("box1", ("10.0.0.5/24",), "eth1", "ada", "correct horse")
DONE = Result(True, "it has the address")


def bytes_from(seed: int) -> Callable[[int], bytes]:
    return random.Random(seed).randbytes


class End:
    """An NSU that carries out orders, and remembers each."""

    def __init__(self, results: list[Result] | None = None, claim_key: bytes = CLAIM_KEY, seed: int = 1) -> None:
        self.now_s = 0.0
        self.responder = Responder(claim_key, bytes_from(seed), lambda: self.now_s)
        self.results = results or []
        """What the next orders come to; then DONE."""
        self.orders: list[Order] = []

    def hear(self, message: Message, admin_mac: bytes = ADMIN_MAC, nsu_mac: bytes = NSU_MAC) -> Message | None:
        said = self.responder.receive(nsu_mac, admin_mac, message.kind, message.body)
        if not isinstance(said, Todo):
            return said
        self.orders.append(said.order)
        return self.responder.finish(said, self.results.pop(0) if self.results else DONE)


def talk(seed: int = 2, claim_key: bytes = CLAIM_KEY, order: Order = ORDER) -> Talk:
    return Talk(ADMIN_MAC, NSU_MAC, claim_key, order, bytes_from(seed))


def run(one: Talk, nsu: End) -> list[Message]:
    """Run a talk on a good wire; give what the administrator has sent."""
    sent: list[Message] = []
    for _ in range(5):
        if one.over:
            break
        sent.append(one.message)
        answer = nsu.hear(one.message)
        if answer is not None:
            one.receive(answer.kind, answer.body)
    return sent
