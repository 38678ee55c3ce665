"""How a page is made: templates (Jinja's one door), who looks at it, and what is on top of each."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import jinja2
from fastapi import Depends, Request
from fastapi.responses import HTMLResponse
from starlette.datastructures import FormData

from ipc.control import ControlError
from ipc.sizes import size
from nsu import __version__
from nsu.alarms import alarms_of
from nsu.web.gate import CSRF_FIELD, Asker, asker_of, check_csrf, check_role, site_of
from nsu.web.refusals import Refused
from nsu.web.roles import Role
from nsu.web.site import Site
from nsu.web.store import StoreError

FIELDS_MAX = 200
NAVIGATION = (
    ("/", "Overview"),
    ("/arrays", "Arrays"),
    ("/partitions", "Partitions"),
    ("/hosts", "Hosts"),
    ("/paths", "Disks and paths"),
    ("/events", "Events"),
    ("/history", "History"),
)


class LoginNeeded(Exception):  # noqa: N818 -- it is no error
    """Nobody is logged in; `where` leads to the login, and back from there."""

    def __init__(self, request: Request) -> None:
        query = f"?{request.url.query}" if request.url.query else ""
        back = f"{request.url.path}{query}" if request.method == "GET" else "/"
        self.where = f"/login?next={quote(back, safe='')}"
        super().__init__(self.where)


def visitor_of(request: Request) -> Asker:
    """Give who looks at a page. Raises LoginNeeded."""
    asker = asker_of(request)
    if asker is None or asker.session is None:
        raise LoginNeeded(request)
    return asker


Visitor = Annotated[Asker, Depends(visitor_of)]


async def form_of(request: Request) -> FormData:
    """Give the fields of a form."""
    return await request.form(max_files=0, max_fields=FIELDS_MAX)


Form = Annotated[FormData, Depends(form_of)]


class MaySend:
    """A dependency of pages that change something: gives who sends, when he has the role and the form is his."""

    def __init__(self, role: Role) -> None:
        self.role = role

    def __call__(self, request: Request, form: Form) -> Asker:
        """Check."""
        asker = visitor_of(request)
        check_csrf(request, asker, str(form.get(CSRF_FIELD, "")))
        check_role(asker, self.role)
        return asker


def when(at: float) -> str:
    """Give a time for people: UTC, to the second."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def ago(at: float) -> str:
    """Give how long ago that was, in the largest unit that fits."""
    past_s = max(0.0, time.time() - at)
    for unit, seconds in (("d", 86400), ("h", 3600), ("min", 60)):
        if past_s >= 2 * seconds:
            return f"{past_s / seconds:.0f} {unit}"
    return f"{past_s:.0f} s"


def speed(bytes_s: float) -> str:
    """Give a rate of bytes for people."""
    return f"{size(int(bytes_s))}/s"


def prefixed(word: object, prefix: str) -> str:
    """Give the key of `nsu.rates` for a name."""
    return f"{prefix}{word}"


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parents[1] / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters |= {"size": size, "when": when, "ago": ago, "speed": speed, "prefixed": prefixed}
    return environment


ENVIRONMENT = _environment()


def page(
    request: Request,
    template: str,
    asker: Asker | None = None,
    status: int = 200,
    values: Mapping[str, Any] | None = None,
    **more: Any,
) -> HTMLResponse:
    """Make a page of a template and its values."""
    site = site_of(request)
    session = asker.session if asker else None
    told = session.told if session else ""
    if session is not None:
        session.told = ""
    text = ENVIRONMENT.get_template(template).render(
        machine=site.machine.name,
        version=__version__,
        path=request.url.path,
        navigation=NAVIGATION,
        asker=asker,
        may_operate=asker is not None and asker.role >= Role.OPERATE,
        may_administer=asker is not None and asker.role >= Role.ADMINISTER,
        csrf=session.csrf if session else "",
        told=told,
        alarm_count=_alarm_count(site) if asker else 0,
        **(values or {}),
        **more,
    )
    return HTMLResponse(text, status)


def _alarm_count(site: Site) -> int:
    try:
        return sum(alarm.severity != "note" for alarm in alarms_of(site.watcher.found()))
    except (ControlError, OSError):
        return 0


def problem_page(request: Request, refused: Refused) -> HTMLResponse:
    """Make the page that says why something was not done."""
    try:
        asker = asker_of(request)
    except (Refused, StoreError):
        asker = None
    answer = page(request, "problem.html", asker, refused.status, refused=refused)
    answer.headers.update(refused.headers)
    return answer
