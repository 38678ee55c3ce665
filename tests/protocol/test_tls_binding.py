"""Proves that a login inside TLS is bound to both certificates: whatever differs, the secret is another."""

from itertools import combinations

from protocol.tls_binding import bound_secret

SECRET, A, B = b"s" * 32, b"a" * 32, b"b" * 32


def test_it_is_the_same_for_both_ends_and_another_for_every_difference() -> None:
    assert bound_secret(SECRET, A, B) == bound_secret(SECRET, A, B)
    all_of_them = [
        SECRET,
        *(bound_secret(*given) for given in ((SECRET, A, B), (SECRET, B, A), (SECRET, A, A), (A, A, B))),
    ]
    assert all(one != other for one, other in combinations(all_of_them, 2))
    assert {len(each) for each in all_of_them} == {32}
