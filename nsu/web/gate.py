"""Who asks, and may he: bearer tokens, session cookies, roles, and forged requests of other sites.

A program sends `Authorization: Bearer …` with each request. A browser sends the session's cookie by itself, to us even
from a page of somebody else; so whatever changes something must also carry the session's CSRF token, which only our own
pages know, and must not come from another site by what the browser says of it (Sec-Fetch-Site, or Origin).
"""

import hmac
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyCookie, HTTPBearer

from nsu.web.refusals import Refused
from nsu.web.roles import Role
from nsu.web.sessions import Session
from nsu.web.site import Site

COOKIE = "nsu_session"
CSRF_HEADER = "X-CSRF-Token"
CSRF_FIELD = "csrf"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
HOW_TO = {"WWW-Authenticate": 'Bearer realm="nsu"'}

BEARER = HTTPBearer(auto_error=False, description="A token of `nsu token create`.")
SESSION = APIKeyCookie(
    name=COOKIE,
    auto_error=False,
    description=f"The session of the pages; what changes something also needs the header {CSRF_HEADER}.",
)


@dataclass(frozen=True, slots=True)
class Asker:
    """Who sent a request."""

    name: str
    role: Role
    how: str
    """`token` or `password`."""
    address: str
    session: Session | None


def site_of(request: Request) -> Site:
    """Give the site that a request is for."""
    site: Site = request.app.state.site
    return site


def address_of(request: Request) -> str:
    """Give where a request came from."""
    return request.client.host if request.client else ""


def asker_of(request: Request) -> Asker | None:
    """Give who asks; None when he does not say so. Raises Refused: he says so wrongly."""
    site = site_of(request)
    given = request.headers.get("authorization")
    if given is not None:
        scheme, _, text = given.partition(" ")
        token = site.tokens.check(text.strip()) if scheme.lower() == "bearer" else None
        if token is None:
            raise Refused(401, "this token is not known, or not any more; see: nsu token list", headers=HOW_TO)
        return Asker(f"{token.name} ({token.id})", token.role, "token", address_of(request), None)
    cookie = request.cookies.get(COOKIE)
    session = site.sessions.find(cookie, site.users.find) if cookie else None
    if session is None:
        return None
    return Asker(session.user.name, session.user.role, "password", address_of(request), session)


def check_role(asker: Asker, role: Role) -> None:
    """Raise Refused when the asker may not do what needs this role."""
    if asker.role < role:
        raise Refused(403, f"this needs the role {role.word}; {asker.name} has {asker.role.word}")


def check_origin(request: Request) -> None:
    """Raise Refused when the browser says that another site has sent this."""
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if site is not None:
        is_ours = site in ("same-origin", "none")
    else:
        is_ours = origin is None or urlsplit(origin).netloc == request.headers.get("host")
    if not is_ours:
        raise Refused(403, "this came from another site, so it is not done")


def check_csrf(request: Request, asker: Asker, given: str) -> None:
    """Raise Refused when a request by cookie is not from a page of its session."""
    check_origin(request)
    if asker.session is not None and not hmac.compare_digest(asker.session.csrf.encode(), given.encode()):
        raise Refused(403, "the form is not from this session: load the page again")


class May:
    """A dependency of REST: gives the asker, when he has the role."""

    def __init__(self, role: Role) -> None:
        self.role = role

    def __call__(
        self,
        request: Request,
        _bearer: Annotated[object, Security(BEARER)],
        _session: Annotated[object, Security(SESSION)],
    ) -> Asker:
        """Check. The parameters put the two ways into the OpenAPI document."""
        asker = asker_of(request)
        if asker is None:
            raise Refused(401, "say who asks: Authorization: Bearer TOKEN, of nsu token create", headers=HOW_TO)
        check_role(asker, self.role)
        if asker.session is not None and request.method not in SAFE_METHODS:
            check_csrf(request, asker, request.headers.get(CSRF_HEADER, ""))
        return asker


Looker = Annotated[Asker, Depends(May(Role.LOOK))]
Operator = Annotated[Asker, Depends(May(Role.OPERATE))]
Administrator = Annotated[Asker, Depends(May(Role.ADMINISTER))]
TheSite = Annotated[Site, Depends(site_of)]
