"""Proves how often somebody may fail, that it is not for ever, that he keeps out nobody else, and the bound."""

from nsu.web.attempts import ADDRESS, ALL, BUCKETS_MAX, PAIR, Attempts


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_few_tries_then_one_a_minute() -> None:
    clock = Clock()
    attempts = Attempts(clock)
    assert [attempts.take("alice", "1.2.3.4") for _ in range(PAIR.tries)] == [0.0] * PAIR.tries
    assert attempts.take("alice", "1.2.3.4") == PAIR.again_s
    clock.now_s += PAIR.again_s
    assert attempts.take("alice", "1.2.3.4") == 0
    assert attempts.take("alice", "1.2.3.4") == PAIR.again_s
    clock.now_s += PAIR.again_s * PAIR.tries * 2
    assert [attempts.take("alice", "1.2.3.4") for _ in range(PAIR.tries)] == [0.0] * PAIR.tries


def test_refused_tries_cost_nothing_more() -> None:
    attempts = Attempts(Clock())
    waits = [attempts.take("alice", "a") for _ in range(50)]
    assert max(waits) == PAIR.again_s


def test_nobody_is_locked_out_by_another() -> None:
    attempts = Attempts(Clock())
    while not attempts.take("alice", "stranger"):
        pass
    assert attempts.take("alice", "home") == 0
    assert attempts.take("bob", "stranger") == 0


def test_an_address_that_tries_many_names_is_stopped_too() -> None:
    attempts = Attempts(Clock())
    taken = [attempts.take(f"user{number}", "stranger") for number in range(ADDRESS.tries + 1)]
    assert taken == [0.0] * ADDRESS.tries + [ADDRESS.again_s]


def test_all_together_are_bounded() -> None:
    attempts = Attempts(Clock())
    taken = [attempts.take("admin", f"address{number}") for number in range(ALL.tries + 1)]
    assert taken == [0.0] * ALL.tries + [ALL.again_s]


def test_who_succeeds_is_not_counted() -> None:
    attempts = Attempts(Clock())
    for _ in range(10 * PAIR.tries):
        assert attempts.take("alice", "a") == 0
        attempts.give_back("alice", "a")


def test_what_is_kept_is_bounded() -> None:
    clock = Clock()
    attempts = Attempts(clock)
    for number in range(BUCKETS_MAX):
        clock.now_s += 60
        attempts.take(f"user{number}", f"address{number}")
    assert len(attempts._full_at) <= BUCKETS_MAX
