"""Pages that only show."""

from typing import Any

from fastapi import APIRouter, Request, Response

from nsu.alarms import alarms_of
from nsu.history import History
from nsu.rates_shown import Shown
from nsu.web import view
from nsu.web.gate import TheSite
from nsu.web.orders import partitions
from nsu.web.pages.render import Visitor, page

router = APIRouter(include_in_schema=False)
EVENTS_SHOWN = 200


@router.get("/")
def overview(request: Request, site: TheSite, visitor: Visitor) -> Response:
    """The machine at a glance."""
    found = site.watcher.found()
    pieces = view.pieces_of_arrays(found)
    return page(request, "overview.html", visitor, known=view.overview(found), pieces=pieces, found=found)


@router.get("/arrays")
def arrays(request: Request, site: TheSite, visitor: Visitor) -> Response:
    """Arrays and drives, and which blocks belong to whom."""
    found = site.watcher.found()
    return page(request, "arrays.html", visitor, arrays=view.arrays(found), server=found["server"], shown=shown(site))


@router.get("/partitions")
def partition_list(request: Request, site: TheSite, visitor: Visitor) -> Response:
    """Partitions, and who has them."""
    found = site.watcher.found()
    pieces, rows = view.pieces_of_arrays(found), view.with_totals(partitions(site), found)
    return page(request, "partitions.html", visitor, partitions=rows, pieces=pieces, shown=shown(site))


@router.get("/hosts")
def hosts(request: Request, site: TheSite, visitor: Visitor) -> Response:
    """Hosts of this NSU, their sessions, and what they move."""
    found = site.watcher.found()
    rows = view.hosts(found)
    return page(request, "hosts.html", visitor, hosts=rows, server=found["server"], shown=shown(site))


@router.get("/paths")
def paths(request: Request, site: TheSite, visitor: Visitor) -> Response:
    """Disks of this machine, and the paths to their servers."""
    found = site.watcher.found()
    return page(request, "paths.html", visitor, host=found["host"], shown=shown(site))


@router.get("/events")
def events(request: Request, site: TheSite, visitor: Visitor) -> Response:
    """What is wrong, and what has happened."""
    found = site.watcher.found()
    newest = site.events.newest(EVENTS_SHOWN)
    return page(request, "events.html", visitor, alarms=alarms_of(found), events=newest, timers=view.timers(found))


@router.get("/history")
def history(request: Request, site: TheSite, visitor: Visitor) -> Response:
    """Versions of nsu.conf, and who did what."""
    versions: list[Any] = list(reversed(History(site.state_dir).versions()))
    audit = site.audit.newest(EVENTS_SHOWN)
    return page(request, "history.html", visitor, versions=versions, audit=audit)


def shown(site: Any) -> Shown:
    """Give what moves now."""
    return Shown(site.watcher.newest_rates())
