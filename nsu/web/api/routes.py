"""The routes of REST, version 1, and /metrics."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Body, FastAPI, Path, Query, Request, Response

from nsu.conf.load import digest_of, read_text
from nsu.history import History
from nsu.processes import processes_below
from nsu.web import view
from nsu.web.api import bodies, models
from nsu.web.gate import Administrator, Asker, Looker, Operator, TheSite, asker_of, check_role, site_of
from nsu.web.metrics import CONTENT_TYPE, metrics_text
from nsu.web.orders import VERBS, Orders, partitions
from nsu.web.refusals import Refused
from nsu.web.roles import Role
from nsu.web.site import Site
from nsu.web.watcher import EVERY_S

PREFIX = "/api/v1"
MOST = 1000

Name = Annotated[str, Path(min_length=1, max_length=255)]
Most = Annotated[int, Query(ge=1, le=MOST, description="how many, the newest first")]

WORDS = {
    400: "the request can't be read",
    401: "nobody says who asks, or wrongly",
    403: "the asker's role does not allow it",
    404: "there is no such thing",
    409: "it can't be done as things are; nothing was changed",
    413: "the request is too large",
    422: "the request is not of the form of the document",
    503: "who would have to know does not answer now, or takes no more",
}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": models.Problem, "description": words} for status, words in WORDS.items()
}

router = APIRouter(prefix=PREFIX, responses=PROBLEMS)


def found_of(site: Site, role: str | None = None) -> dict[str, Any]:
    """Look at the machine. Raises Refused: a `role` that is needed does not answer."""
    found = site.watcher.found()
    if role is not None and found[role] is None:
        names = [process["name"] for process in found["supervisor"]["processes"]]
        if role in names:
            raise Refused(503, f"the {role} process does not answer now: try again")
        raise Refused(404, f"this machine has no {role} role")
    return found


# -- look ----------------------------------------------------------------------------------------------------------


@router.get("/overview", response_model=models.Overview, tags=["look"])
def get_overview(site: TheSite, _: Looker) -> Any:
    """The machine at a glance."""
    return view.overview(found_of(site))


@router.get("/alarms", response_model=list[models.Alarm], tags=["look"])
def get_alarms(site: TheSite, _: Looker) -> Any:
    """What is wrong now, the urgent first."""
    return view.overview(found_of(site))["alarms"]


@router.get("/events", response_model=list[models.Event], tags=["look"])
def get_events(site: TheSite, _: Looker, most: Most = 100) -> Any:
    """What has happened."""
    return site.events.newest(most)


@router.get("/arrays", response_model=list[models.Array], tags=["look"])
def get_arrays(site: TheSite, _: Looker) -> Any:
    """Arrays, their drives, and which blocks belong to whom."""
    rows = view.arrays(found_of(site, "server"))
    return [
        {**row, "pieces": [models.Piece.model_validate(piece, from_attributes=True) for piece in row["pieces"]]}
        for row in rows
    ]


@router.get("/partitions", response_model=list[models.Partition], tags=["look"])
def get_partitions(site: TheSite, _: Looker) -> Any:
    """Partitions, as nsu.conf has them, and what was done with them."""
    return view.with_totals(partitions(site), found_of(site))


@router.get("/hosts", response_model=list[models.Host], tags=["look"])
def get_hosts(site: TheSite, _: Looker) -> Any:
    """Hosts that may use this NSU."""
    return view.hosts(found_of(site, "server"))


@router.get("/sessions", response_model=list[models.Session], tags=["look"])
def get_sessions(site: TheSite, _: Looker) -> Any:
    """Hosts that have logged in, and their paths."""
    return found_of(site, "server")["server"]["sessions"]


@router.get("/servers", response_model=list[models.Server], tags=["look"])
def get_servers(site: TheSite, _: Looker) -> Any:
    """NSUs that this machine uses, and the paths to them."""
    return found_of(site, "host")["host"]["servers"]


@router.get("/disks", response_model=list[models.Disk], tags=["look"])
def get_disks(site: TheSite, _: Looker) -> Any:
    """Disks that this machine shows to its users."""
    return found_of(site, "host")["host"]["disks"]


@router.get("/timers", response_model=list[models.Timer], tags=["look"])
def get_timers(site: TheSite, _: Looker) -> Any:
    """Times in force, and where each comes from."""
    return view.timers(found_of(site))


@router.get("/series", response_model=models.Series, tags=["look"])
def get_series(
    site: TheSite,
    _: Looker,
    since: Annotated[float, Query(ge=0, le=1e12, description="only what came later, in seconds since 1970")] = 0,
) -> Any:
    """What moved in the last minutes."""
    points = [point for point in tuple(site.watcher.points) if point.at > since]
    rows = [{"at": point.at, "rates": {key: rate._asdict() for key, rate in point.rates.items()}} for point in points]
    return {"every_s": EVERY_S, "points": rows}


@router.get("/conf", response_model=models.Conf, tags=["nsu.conf"])
def get_conf(site: TheSite, _: Looker) -> Any:
    """nsu.conf as it is now. It holds no secrets, only the names of their files."""
    text = read_text(site.conf_path)
    return {"text": text, "digest": digest_of(text)}


@router.get("/history", response_model=list[models.Version], tags=["nsu.conf"])
def get_history(site: TheSite, _: Looker) -> Any:
    """Former versions of nsu.conf, the newest first."""
    return [
        models.Version.model_validate(one, from_attributes=True) for one in reversed(History(site.state_dir).versions())
    ]


@router.get("/audit", response_model=list[models.AuditEntry], tags=["look"])
def get_audit(site: TheSite, _: Administrator, most: Most = 100) -> Any:
    """Who did what."""
    return site.audit.newest(most)


# -- change --------------------------------------------------------------------------------------------------------


def _partition_route(verb: str, body_type: type[bodies.Changing]) -> Callable[..., Any]:
    def order(site: TheSite, asker: Administrator, body: Annotated[bodies.Changing, Body()]) -> Any:
        return Orders(site, asker).partition(verb, body)

    order.__name__ = f"{verb}_partition"
    order.__doc__ = f"As `nsu partition {verb}`: plan it, and carry it out unless `plan_only`. {body_type.__doc__}"
    order.__annotations__["body"] = body_type
    return order


for _verb, (_body_type, _) in VERBS.items():
    router.post(f"/partitions/{_verb}", response_model=models.Outcome, tags=["partitions"])(
        _partition_route(_verb, _body_type)
    )


@router.post("/conf", response_model=models.Outcome, tags=["nsu.conf"])
def apply_conf(site: TheSite, asker: Administrator, body: bodies.Apply) -> Any:
    """As `nsu apply`: a whole new nsu.conf, all of it or nothing."""
    return Orders(site, asker).apply(body)


@router.post("/history/rollback", response_model=models.Outcome, tags=["nsu.conf"])
def rollback(site: TheSite, asker: Administrator, body: bodies.Rollback) -> Any:
    """As `nsu rollback`: a version of the history is in force again."""
    return Orders(site, asker).rollback(body)


@router.post("/arrays/{array}/scrub", response_model=models.Done, tags=["arrays"])
def scrub(site: TheSite, asker: Operator, array: Name) -> Any:
    """As `nsu array scrub`: compare all that the array keeps twice."""
    Orders(site, asker).scrub(array)
    return {"sentence": f"array {array} is being compared"}


@router.post("/arrays/{array}/replace", response_model=models.Replacement, tags=["arrays"])
def replace(site: TheSite, asker: Administrator, array: Name, body: bodies.Replace) -> Any:
    """As `nsu array replace`: put a drive out, and rebuild its data on another."""
    return Orders(site, asker).replace(array, body)


@router.post("/disks/{disk}/attach", response_model=models.Done, tags=["disks"])
def attach(site: TheSite, asker: Operator, disk: Name) -> Any:
    """As `nsu attach`: show a disk; answers when it can be used."""
    Orders(site, asker).attach(disk)
    return {"sentence": f"disk {disk} is there"}


@router.post("/disks/{disk}/detach", response_model=models.Done, tags=["disks"])
def detach(site: TheSite, asker: Operator, disk: Name, body: bodies.Detach) -> Any:
    """As `nsu detach`: take a disk away; `force` needs the role administer, for users lose what they did not write."""
    if body.force:
        check_role(asker, Role.ADMINISTER)
    Orders(site, asker).detach(disk, force=body.force)
    return {"sentence": f"disk {disk} is gone"}


# -- metrics -------------------------------------------------------------------------------------------------------


def metrics(request: Request) -> Response:
    """Give the metrics. Whoever is on this machine may read them; from others a token or a session is needed."""
    site = site_of(request)
    asker: Asker | None = asker_of(request)
    if asker is None and site.has_tls:
        raise Refused(401, "say who asks: Authorization: Bearer TOKEN, of nsu token create")
    found = site.watcher.found(max_age_s=0.5)
    text = metrics_text(found, processes_below(found["supervisor"]["pid"]))
    return Response(text, media_type=CONTENT_TYPE)


def add_api(app: FastAPI) -> None:
    """Add REST and /metrics to the app."""
    app.include_router(router)
    app.add_api_route("/metrics", metrics, include_in_schema=False)
