"""Proves that an NSU does an order of who knows the claim key, once, and nothing for anybody else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.setup.messages import SIZES, Kind, Message, Reason, read_refusal, refusal
from protocol.setup.nsu import EPOCH_S, FRESH_S, PAUSE_S, TRIES
from protocol.setup.order import Result
from protocol.setup.states import Admin, Nsu
from tests.protocol.setup.world import ADMIN_MAC, DONE, ORDER, End, run, talk

FAILED = Result(False, "there is no interface eth1")


def reason_of(answer: Message | None) -> Reason:
    assert answer is not None
    assert answer.kind == Kind.REFUSAL
    said = read_refusal(answer.body)
    assert said is not None
    return said[0]


def test_a_whole_talk_claims_it() -> None:
    nsu, one = End(), talk()
    run(one, nsu)
    assert nsu.orders == [ORDER]
    assert one.state is Admin.FINISHED
    assert one.result == DONE
    assert nsu.responder.state is Nsu.CLAIMED


def test_the_same_order_again_has_the_same_result_and_is_not_done_again() -> None:
    nsu, one = End(), talk()
    order = run(one, nsu)[-1]
    first, second = nsu.hear(order), nsu.hear(order)
    assert first is not None
    assert first == second
    assert first.kind == Kind.RESULT
    assert len(nsu.orders) == 1
    assert nsu.responder.counts.repeated == 2


@pytest.mark.parametrize("kind", [Kind.HELLO, Kind.PROVE, Kind.ORDER])
def test_a_claimed_one_says_so_and_nothing_more(kind: Kind) -> None:
    nsu = End()
    run(talk(), nsu)
    assert nsu.hear(Message(kind, bytes(SIZES[kind]))) == refusal(Reason.CLAIMED)
    late = talk(seed=3)
    run(late, nsu)
    assert late.refusal == (Reason.CLAIMED, 0)
    assert len(nsu.orders) == 1


def test_a_failed_order_leaves_it_unclaimed_and_is_never_played_again() -> None:
    nsu, one = End([FAILED]), talk()
    sent = run(one, nsu)
    assert one.result == FAILED
    assert nsu.responder.state is Nsu.UNCLAIMED
    for message in sent * 2:
        nsu.hear(message)
    assert len(nsu.orders) == 1
    again = talk(seed=3)
    run(again, nsu)
    assert again.result == DONE
    assert len(nsu.orders) == 2
    for message in sent:
        nsu.hear(message)
    assert len(nsu.orders) == 2


def test_an_order_that_failed_is_not_played_again_after_another_has_failed() -> None:
    nsu = End([FAILED, FAILED])
    first = run(talk(), nsu)
    run(talk(seed=3), nsu)
    for message in first:
        nsu.hear(message)
    assert len(nsu.orders) == 2
    assert nsu.responder.state is Nsu.UNCLAIMED


def test_a_recorded_talk_opens_no_other_start_of_the_nsu_and_no_other_nsu() -> None:
    sent = run(talk(), End())
    for other in (End(seed=9), End(seed=9, claim_key=b"x" * 20)):
        assert [reason_of(other.hear(message)) for message in sent[1:]] == [Reason.STALE] * 2
        assert not other.orders


def test_an_order_that_was_held_back_is_worth_nothing_later() -> None:
    nsu, one = End(), talk()
    while one.message.kind != Kind.ORDER:
        answer = nsu.hear(one.message)
        assert answer is not None
        one.receive(answer.kind, answer.body)
    nsu.now_s = EPOCH_S
    assert reason_of(nsu.hear(one.message)) is Reason.STALE
    assert not nsu.orders


def test_a_talk_that_begins_when_keys_are_old_gets_fresh_ones_and_nobody_is_cut_off() -> None:
    nsu, old, new = End(), talk(), talk(seed=3)
    offer = nsu.hear(old.message)
    assert offer is not None
    old.receive(offer.kind, offer.body)
    nsu.now_s = FRESH_S
    fresh = nsu.hear(new.message)
    assert fresh is not None
    assert fresh.body[32:] != offer.body[32:]
    run(old, nsu)
    assert old.result == DONE


def test_wrong_keys_are_refused_counted_and_followed_by_a_pause() -> None:
    nsu = End()
    for seed in range(TRIES):
        wrong = talk(seed=seed, claim_key=b"x" * 20)
        run(wrong, nsu)
        assert wrong.refusal == (Reason.WRONG_KEY, 0)
    assert nsu.responder.counts.wrong_proofs == TRIES
    right = talk(seed=99)
    run(right, nsu)
    assert right.refusal == (Reason.PAUSED, int(PAUSE_S))
    nsu.now_s = PAUSE_S
    right = talk(seed=100)
    run(right, nsu)
    assert right.result == DONE


def test_an_order_without_a_right_seal_is_a_wrong_proof() -> None:
    nsu, hello = End(), talk().message
    offer = nsu.hear(hello)
    assert offer is not None
    forged = Message(Kind.ORDER, hello.body + offer.body[32:] + bytes(1040))
    assert reason_of(nsu.hear(forged)) is Reason.WRONG_KEY
    assert not nsu.orders


def test_a_talk_is_of_its_two_macs() -> None:
    nsu, one = End(), talk()
    offer = nsu.hear(one.message)
    assert offer is not None
    one.receive(offer.kind, offer.body)
    assert reason_of(nsu.hear(one.message, admin_mac=b"\x02other")) is Reason.WRONG_KEY
    assert reason_of(nsu.hear(one.message, nsu_mac=b"\x02other")) is Reason.WRONG_KEY
    answer = nsu.hear(one.message, admin_mac=ADMIN_MAC)
    assert answer is not None
    assert answer.kind == Kind.PROVEN


def test_a_public_key_whose_secret_everybody_knows_is_a_wrong_proof() -> None:
    nsu, one = End(), talk()
    offer = nsu.hear(one.message)
    assert offer is not None
    weak = Message(Kind.PROVE, bytes(64) + offer.body[32:] + bytes(32))
    assert reason_of(nsu.hear(weak)) is Reason.WRONG_KEY


@given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=200)), max_size=20))
def test_whatever_comes_it_answers_or_is_silent_and_does_nothing(frames: list[tuple[int, bytes]]) -> None:
    nsu = End()
    for kind, body in frames:
        answer = nsu.responder.receive(b"n" * 6, b"a" * 6, kind, body)
        assert answer is None or isinstance(answer, Message)
    assert nsu.responder.state is Nsu.UNCLAIMED
