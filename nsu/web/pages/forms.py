"""From the fields of a form to the body that REST takes: one way to ask for a thing, whoever asks. Pure."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from nsu.web.api import bodies
from nsu.web.refusals import Refused

FLAGS = frozenset({"zero", "shared_write", "force", "plan_only"})
"""Fields that are boxes to tick: absent means no."""
NUMBERS = frozenset({"version"})


def body_of(kind: type[bodies.Body], form: Mapping[str, Any]) -> Any:
    """Make a body of `kind` from a form. Raises Refused with what is wrong, in the words of the fields."""
    values = {name: _value(name, form) for name in kind.model_fields if name != "hosts" and _is_given(name, form)}
    if "hosts" in kind.model_fields:
        values["hosts"] = _grants(form)
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        details = [f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in error.errors()]
        raise Refused(422, "something in the form is missing or too long", details) from error


def _is_given(name: str, form: Mapping[str, Any]) -> bool:
    return name in FLAGS or str(form.get(name, "")).strip() != ""


def _value(name: str, form: Mapping[str, Any]) -> Any:
    if name in FLAGS:
        return name in form
    text = str(form[name])
    if name in NUMBERS and text.isdecimal():
        return int(text)
    return text.replace("\r\n", "\n") if name == "text" else text.strip()


def _grants(form: Mapping[str, Any]) -> list[dict[str, str]]:
    """Take `host` and `access` as the one host that a form names."""
    host = str(form.get("host", "")).strip()
    return [{"host": host, "access": str(form.get("access", "read-write"))}] if host else []
