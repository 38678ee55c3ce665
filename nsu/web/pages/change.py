"""Pages that change nsu.conf: a form, then what it would do and to whom, then it is done.

The second step carries what the first one was decided on (`base`, and what was `against` it), so that nobody agrees to
one thing and gets another, nor overrules what he was not shown.
"""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import RedirectResponse

from nsu.conf.errors import ChangeRefused, ConfErrors
from nsu.conf.load import digest_of, read_text
from nsu.partitions.view import find
from nsu.web import view
from nsu.web.api import bodies
from nsu.web.gate import CSRF_FIELD, Asker, TheSite
from nsu.web.orders import VERBS, Orders
from nsu.web.pages.forms import body_of
from nsu.web.pages.render import Form, MaySend, Visitor, page
from nsu.web.refusals import Refused, refusal_of
from nsu.web.roles import Role
from nsu.web.site import Site

router = APIRouter(include_in_schema=False)
Sender = Annotated[Asker, Depends(MaySend(Role.ADMINISTER))]
STEP, DO = "step", "do"
HIDDEN = frozenset({CSRF_FIELD, STEP, "force", "base", "against"})
"""Fields that the second step has of its own."""


@router.get("/partitions/new")
def new(request: Request, site: TheSite, visitor: Visitor) -> Response:
    """Ask for a new partition."""
    return _new(request, site, visitor, {})


def _new(request: Request, site: Site, visitor: Asker, form: Any, refused: Refused | None = None) -> Response:
    found = site.watcher.found()
    values = {"arrays": view.arrays(found), "hosts": _hosts(found), "pieces": view.pieces_of_arrays(found)}
    status = refused.status if refused else 200
    return page(request, "new.html", visitor, status, values, form=form, refused=refused)


@router.get("/partitions/change")
def change(
    request: Request, site: TheSite, visitor: Visitor, partition: Annotated[str, Query(max_length=600)]
) -> Response:
    """Show one partition, with all that can be done to it."""
    return _change(request, site, visitor, partition, {})


def _change(
    request: Request, site: Site, visitor: Asker, title: str, form: Any, refused: Refused | None = None
) -> Response:
    try:
        known = find(read_text(site.conf_path), title)  # by any of its names: sharing it gives it another title
    except ChangeRefused as error:
        raise refused or Refused(404, str(error)) from error
    values = {"partition": known.as_dict(), "hosts": _hosts(site.watcher.found()), "form": form, "refused": refused}
    return page(request, "partition.html", visitor, refused.status if refused else 200, values)


def _hosts(found: dict[str, Any]) -> list[str]:
    return [host["name"] for host in (found["server"] or {"hosts": []})["hosts"]]


@router.post("/partitions/{verb}")
def order(request: Request, site: TheSite, sender: Sender, form: Form, verb: str) -> Response:
    """Take a form of `new` or `change`."""
    if verb not in VERBS:
        raise Refused(404, f"there is no such verb: {verb}")

    def again(refused: Refused) -> Response:
        if verb == "create":
            return _new(request, site, sender, form, refused)
        return _change(request, site, sender, str(form.get("partition", "")), form, refused)

    kind = VERBS[verb][0]
    return _in_two_steps(
        request, sender, form, kind, lambda body: Orders(site, sender).partition(verb, body), "/partitions", again
    )


@router.get("/conf")
def conf(request: Request, site: TheSite, visitor: Visitor) -> Response:
    """Show nsu.conf, to be changed as a whole."""
    text = read_text(site.conf_path)
    values = {"conf_path": site.conf_path, "text": text, "base": digest_of(text), "refused": None}
    return page(request, "conf.html", visitor, values=values)


@router.post("/conf")
def apply_conf(request: Request, site: TheSite, sender: Sender, form: Form) -> Response:
    """Take a whole new nsu.conf."""

    def again(refused: Refused) -> Response:
        values = {"conf_path": site.conf_path, "text": str(form.get("text", "")), "base": str(form.get("base", ""))}
        return page(request, "conf.html", sender, refused.status, values, refused=refused)

    return _in_two_steps(request, sender, form, bodies.Apply, Orders(site, sender).apply, "/history", again)


@router.post("/history/rollback")
def rollback(request: Request, site: TheSite, sender: Sender, form: Form) -> Response:
    """Put a former version of nsu.conf in force again."""

    def again(refused: Refused) -> Response:
        raise refused

    return _in_two_steps(request, sender, form, bodies.Rollback, Orders(site, sender).rollback, "/history", again)


def _in_two_steps(
    request: Request,
    sender: Asker,
    form: Any,
    kind: type[bodies.Changing],
    order: Callable[[Any], dict[str, Any]],
    back: str,
    again: Callable[[Refused], Response],
) -> Response:
    """Show what it would do; in the second step do it. `again` makes the form's page with what is wrong on top."""
    try:
        body = body_of(kind, form)
        is_done = form.get(STEP) == DO
        outcome = order(body if is_done else body.model_copy(update={"plan_only": True}))
    except (Refused, ChangeRefused, ConfErrors) as error:
        refused = refusal_of(error)
        assert refused is not None
        return again(refused)
    if not is_done:
        hidden = [(name, value) for name, value in form.multi_items() if name not in HIDDEN]
        return page(request, "plan.html", sender, outcome=outcome, hidden=hidden, back=back)
    assert sender.session is not None
    summary = " ".join(one["sentence"] + "." for one in outcome["plan"]["changes"])
    sentence = str(outcome["sentence"])
    sender.session.told = f"{summary} {sentence[:1].upper()}{sentence[1:]}.".strip()
    return RedirectResponse(back, 303)
