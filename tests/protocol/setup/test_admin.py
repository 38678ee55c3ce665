"""Proves that on any wire an order is done exactly once, or the administrator is not told that it was."""

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.setup.messages import Kind, Message, Reason, refusal
from protocol.setup.order import Result
from protocol.setup.states import Admin
from tests.protocol.setup.world import DONE, ORDER, End, run, talk

TURNS = 30
FAILED = Result(False, "no")


@dataclass
class Wire:
    """Does to each frame what the test has drawn; both directions."""

    fates: list[tuple[str, int]]
    late: list[Message] = field(default_factory=list)

    def carry(self, message: Message) -> list[Message]:
        fate, number = self.fates.pop(0) if self.fates else ("good", 0)
        if fate == "lose":
            return []
        if fate == "double":
            return [message, message]
        if fate == "keep":  # and bring it after later ones
            self.late.append(message)
            return []
        if fate == "late":
            brought, self.late = self.late, []
            return [message, *brought]
        if fate == "alter":
            body = bytearray(message.body)
            body[number % len(body)] ^= 1 + number % 255
            return [Message(message.kind, bytes(body))]
        return [message]


FATES = st.lists(
    st.tuples(st.sampled_from(["good", "lose", "double", "keep", "late", "alter"]), st.integers(0, 9999)), max_size=40
)


@settings(max_examples=300, deadline=None)
@given(FATES, FATES, st.booleans())
def test_done_exactly_once_or_not_said_to_be(
    there: list[tuple[str, int]], back: list[tuple[str, int]], fails: bool
) -> None:
    nsu, one = End([FAILED] if fails else None), talk()
    out, home = Wire(there), Wire(back)
    for _ in range(TURNS):
        for message in () if one.over else out.carry(one.message):
            answer = nsu.hear(message)
            for brought in () if answer is None else home.carry(answer):
                one.receive(brought.kind, brought.body)
    assert nsu.orders in ([], [ORDER])
    if one.state is Admin.FINISHED:
        assert nsu.orders == [ORDER]
        assert one.result == (FAILED if fails else DONE)
    elif one.state is Admin.REFUSED:
        assert not nsu.orders


def test_on_a_wire_that_loses_much_it_is_done_all_the_same() -> None:
    nsu, one = End(), talk()
    lossy = Wire([("lose", 0), ("lose", 0), ("good", 0)] * 20)
    for _ in range(60):
        for message in lossy.carry(one.message):
            answer = nsu.hear(message)
            for brought in () if answer is None else lossy.carry(answer):
                one.receive(brought.kind, brought.body)
        if one.over:
            break
    assert one.result == DONE
    assert nsu.orders == [ORDER]


def test_its_own_messages_sent_back_to_it_are_no_steps() -> None:
    nsu, one = End(), talk()
    offer = nsu.hear(one.message)
    assert offer is not None
    hello = one.message
    assert not one.receive(Kind.HELLO, hello.body)
    assert one.receive(offer.kind, offer.body)
    proof = one.message.body[-32:]
    assert not one.receive(Kind.PROVEN, proof)
    assert one.doubted == 1
    assert one.state is Admin.AWAIT_PROVEN


def test_hello_sent_back_as_an_offer_leads_to_no_proof_that_fits() -> None:
    one = talk()
    one.receive(Kind.OFFER, one.message.body)
    assert not one.receive(Kind.PROVEN, one.message.body[-32:])
    assert one.result is None


def test_the_order_sent_back_as_a_result_is_none() -> None:
    nsu, one = End(), talk()
    while one.message.kind != Kind.ORDER:
        answer = nsu.hear(one.message)
        assert answer is not None
        one.receive(answer.kind, answer.body)
    assert not one.receive(Kind.RESULT, one.message.body[-1040:])
    assert one.state is Admin.AWAIT_RESULT


def test_nothing_is_ordered_from_who_does_not_know_the_claim_key() -> None:
    impostor, one = End(claim_key=b"x" * 20), talk()
    kinds = [message.kind for message in run(one, impostor)]
    assert kinds == [Kind.HELLO, Kind.PROVE]
    assert one.refusal == (Reason.WRONG_KEY, 0)


def test_a_refusal_after_the_order_proves_nothing() -> None:
    nsu, one = End(), talk()
    while one.message.kind != Kind.ORDER:
        answer = nsu.hear(one.message)
        assert answer is not None
        one.receive(answer.kind, answer.body)
    forged = refusal(Reason.CLAIMED)
    assert not one.receive(forged.kind, forged.body)
    assert not one.over
    assert one.refusal == (Reason.CLAIMED, 0)
    run(one, nsu)
    assert one.result == DONE


def test_a_key_that_makes_the_secret_known_is_not_taken() -> None:
    one = talk()
    assert not one.receive(Kind.OFFER, bytes(64))
    assert one.doubted == 1
    assert one.state is Admin.AWAIT_OFFER


def test_every_order_is_sealed_once() -> None:
    nsu, one = End(), talk()
    while one.message.kind != Kind.ORDER:
        answer = nsu.hear(one.message)
        assert answer is not None
        one.receive(answer.kind, answer.body)
    sealed = one.message
    one.receive(Kind.PROVEN, bytes(32))
    assert one.message is sealed
