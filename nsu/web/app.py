"""The app: REST, pages and static files behind one front; and how what goes wrong is answered."""

from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from ipc.control import ControlError
from nsu import __version__
from nsu.conf.errors import ChangeRefused, ConfErrors
from nsu.web.api.routes import add_api
from nsu.web.front import Front
from nsu.web.gate import HOW_TO
from nsu.web.pages.render import LoginNeeded, problem_page
from nsu.web.pages.routes import add_pages
from nsu.web.refusals import Refused, refusal_of
from nsu.web.site import Site
from nsu.web.store import StoreError

STATIC = Path(__file__).parent / "static"
OPENAPI = "/api/v1/openapi.json"
DESCRIPTION = (
    "What `nsu` says and does on this machine, for programs. Each request names a token: `Authorization: Bearer TOKEN`,"
    " of `nsu token create`. Changes of nsu.conf can be planned first (`plan_only`), and bound to what they were"
    " decided on (`base`)."
)


def make_app(site: Site) -> ASGIApp:
    """Put everything together."""
    app = FastAPI(
        title="NSU", version=__version__, description=DESCRIPTION, openapi_url=OPENAPI, docs_url=None, redoc_url=None
    )
    app.state.site = site
    add_api(app)
    add_pages(app)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    for kind in (Refused, ControlError, ConfErrors, ChangeRefused, StoreError):
        app.add_exception_handler(kind, _answer_refusal)
    app.add_exception_handler(LoginNeeded, _answer_login)
    app.add_exception_handler(RequestValidationError, _answer_form)
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_exception_handler(Exception, _answer_fault)
    names = None if site.has_tls else ("localhost", site.machine.name)
    return Front(app, names)


def _answer(request: Request, refused: Refused) -> Response:
    if request.url.path.startswith("/api/") or request.url.path == "/metrics":
        body = {"error": refused.sentence, "details": refused.details}
        return JSONResponse(body, refused.status, headers=refused.headers)
    return problem_page(request, refused)


def _answer_refusal(request: Request, error: Exception) -> Response:
    refused = refusal_of(error)
    assert refused is not None
    return _answer(request, refused)


def _answer_login(_request: Request, error: Exception) -> Response:
    assert isinstance(error, LoginNeeded)
    return RedirectResponse(error.where, status_code=303)


def _answer_form(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    details = [f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in error.errors()]
    return _answer(request, Refused(422, "the request is not of the form of the document", details))


def _answer_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    words = {404: "there is nothing at this address", 405: "this address does not take that method"}
    headers = dict(error.headers or {}) | (HOW_TO if error.status_code == 401 else {})
    return _answer(
        request, Refused(error.status_code, words.get(error.status_code, str(error.detail)), headers=headers)
    )


def _answer_fault(request: Request, _error: Exception) -> Response:
    # What is wrong with us goes to the log, with its traceback, and not to whoever asked.
    return _answer(request, Refused(500, "this is a fault of nsu itself; the log of nsu run says more"))
