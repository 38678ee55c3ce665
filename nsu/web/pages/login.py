"""Log in and out."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import RedirectResponse

from ipc.say import say
from nsu.web.gate import COOKIE, Asker, TheSite, address_of, check_origin
from nsu.web.orders import note_audit
from nsu.web.pages.render import Form, MaySend, page
from nsu.web.roles import Role
from nsu.web.site import Site

router = APIRouter(include_in_schema=False)


@router.get("/login")
def login_form(request: Request, site: TheSite, next_: Annotated[str, Query(alias="next")] = "/") -> Response:
    """Ask who is there."""
    return page(request, "login.html", next=inside(next_), error="", name="", has_users=bool(site.users.known()))


@router.post("/login")
def log_in(request: Request, site: TheSite, form: Form) -> Response:
    """Begin a session, when the password is right."""
    check_origin(request)
    name, back = str(form.get("name", ""))[:64], inside(str(form.get("next", "/")))
    address = address_of(request)
    wait_s = site.attempts.take(name, address)
    if wait_s:
        words = f"too many attempts: wait {int(wait_s) + 1} s"
        answer = page(request, "login.html", status=429, next=back, error=words, name=name, has_users=True)
        answer.headers["Retry-After"] = str(int(wait_s) + 1)
        return answer
    user = site.users.check(name, str(form.get("password", ""))[:1024])
    if user is None:
        tell_failure(site, name, address)
        words = "there is no such user, or the password is another"
        has_users = bool(site.users.known())
        return page(request, "login.html", status=403, next=back, error=words, name=name, has_users=has_users)
    site.attempts.give_back(name, address)
    site.sessions.close(request.cookies.get(COOKIE, ""))
    cookie, session = site.sessions.open(user)
    note_audit(site, Asker(name, user.role, "password", address, session), "log in", "done", [])
    return with_cookie(site, RedirectResponse(back, 303), cookie)


def tell_failure(site: Site, name: str, address: str) -> None:
    """Tell of a failed login: among the events, for a stranger must not be able to fill the audit log."""
    sentence = f"somebody at {address} failed to log in as {name!r}"
    say(f"nsu: web: {sentence}", about=f"failed login from {address}")
    site.events.note(severity="warning", about="login", sentence=sentence)


@router.post("/logout")
def log_out(request: Request, site: TheSite, asker: Annotated[Asker, Depends(MaySend(Role.LOOK))]) -> Response:
    """End the session."""
    site.sessions.close(request.cookies.get(COOKIE, ""))
    note_audit(site, asker, "log out", "done", [])
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(COOKIE, path="/")
    return answer


def with_cookie(site: Site, answer: Response, cookie: str) -> Response:
    """Give the browser its session: for us alone, out of reach of scripts, never sent from other sites."""
    answer.set_cookie(COOKIE, cookie, path="/", httponly=True, samesite="strict", secure=site.has_tls)
    return answer


def inside(where: str) -> str:
    r"""Give the address if it is one of ours, else the first page. Browsers take `\` for `/`."""
    is_ours = where.startswith("/") and not where.startswith("//") and "\\" not in where and where.isprintable()
    return where if is_ours else "/"
