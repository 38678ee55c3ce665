"""Proves that a form says what REST's body says, field for field, and what is wrong in the words of its fields."""

import pytest

from nsu.web.api import bodies
from nsu.web.pages.forms import body_of
from nsu.web.refusals import Refused


def test_a_form_is_a_body() -> None:
    form = {
        "name": " mail ",
        "size": "1GiB",
        "host": "host1",
        "access": "read-only",
        "zero": "on",
        "csrf": "x",
        "array": "",
    }
    made = body_of(bodies.Create, form)
    granted = bodies.Granted(host="host1", access="read-only")
    assert made == bodies.Create(name="mail", size="1GiB", hosts=[granted], zero=True)


def test_a_box_that_is_not_ticked_is_no() -> None:
    made = body_of(bodies.Create, {"name": "mail", "size": "1GiB", "host": ""})
    assert (made.zero, made.shared_write, made.force, made.hosts) == (False, False, False, [])


def test_numbers_and_texts() -> None:
    assert body_of(bodies.Rollback, {"version": "7"}).version == 7
    assert body_of(bodies.Apply, {"text": "A\r\n  B = c\r\n"}).text == "A\n  B = c\n"
    assert body_of(bodies.Unassign, {"partition": "p", "host": ""}).host is None


@pytest.mark.parametrize(
    ("kind", "form", "field"),
    [
        (bodies.Create, {"size": "1GiB"}, "name"),
        (bodies.Rollback, {"version": "seven"}, "version"),
        (bodies.Assign, {"partition": "p", "host": "h", "access": "all"}, "access"),
        (bodies.Replace, {"old": "0", "new": "dev/sda"}, "new"),
        (bodies.Rename, {"partition": "p", "name": "a\x00b"}, "name"),
    ],
)
def test_what_is_wrong_is_named(kind: type[bodies.Body], form: dict[str, str], field: str) -> None:
    with pytest.raises(Refused) as refused:
        body_of(kind, form)
    assert refused.value.status == 422
    assert refused.value.details[0].startswith(f"{field}: ")
