"""Pages for drives and disks: compare an array, replace a drive, attach and detach a disk."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import RedirectResponse

from nsu.web.api import bodies
from nsu.web.gate import Asker, TheSite, check_role
from nsu.web.orders import Orders
from nsu.web.pages.forms import body_of
from nsu.web.pages.render import Form, MaySend, Visitor, page
from nsu.web.refusals import Refused
from nsu.web.roles import Role
from nsu.web.site import Site

router = APIRouter(include_in_schema=False)
Operating = Annotated[Asker, Depends(MaySend(Role.OPERATE))]
Administering = Annotated[Asker, Depends(MaySend(Role.ADMINISTER))]


@router.post("/arrays/{array}/scrub")
def scrub(site: TheSite, sender: Operating, array: str) -> Response:
    """Compare all that an array keeps twice."""
    Orders(site, sender).scrub(array)
    return _told(sender, f"Array {array} is being compared.", "/arrays")


@router.get("/arrays/{array}/replace")
def replace_form(
    request: Request, site: TheSite, visitor: Visitor, array: str, place: Annotated[int, Query(ge=0)]
) -> Response:
    """Ask what is to take the place of a drive, and say what that means."""
    known = _array(site, array)
    drive = next((one for one in known["drives"] if one.get("place") == place), None)
    if drive is None:
        raise Refused(404, f"array {array} has no place {place}")
    spares = [one["name"] for one in known["drives"] if one["state"].startswith("spare")]
    degraded = any(
        one["state"] in ("out", "rebuilding") for one in known["drives"] if one is not drive and "place" in one
    )
    values = {"array": known, "drive": drive, "spares": spares, "degraded": degraded}
    return page(request, "replace.html", visitor, values=values)


@router.post("/arrays/{array}/replace")
def replace(site: TheSite, sender: Administering, form: Form, array: str) -> Response:
    """Put the drive out, and rebuild it on another."""
    body = body_of(bodies.Replace, form)
    answer = Orders(site, sender).replace(array, body)
    where = f"rebuilt on {answer['new']}" if answer["new"] else "rebuilt on a spare, if there is one"
    told = f"Place {answer['place']} of array {array} is put out and {where}."
    if answer["new"]:
        told += f" Write DRIVE = {answer['new']} in the old one's place in nsu.conf before the next start."
    return _told(sender, told, "/arrays")


@router.post("/disks/{disk}/attach")
def attach(site: TheSite, sender: Operating, disk: str) -> Response:
    """Show a disk."""
    Orders(site, sender).attach(disk)
    return _told(sender, f"Disk {disk} is there.", "/paths")


@router.post("/disks/{disk}/detach")
def detach(site: TheSite, sender: Operating, form: Form, disk: str) -> Response:
    """Take a disk away."""
    body = body_of(bodies.Detach, form)
    if body.force:
        check_role(sender, Role.ADMINISTER)
    Orders(site, sender).detach(disk, force=body.force)
    return _told(sender, f"Disk {disk} is gone.", "/paths")


def _array(site: Site, name: str) -> dict[str, Any]:
    arrays = (site.watcher.found()["server"] or {"arrays": []})["arrays"]
    found = next((one for one in arrays if one["name"] == name), None)
    if found is None:
        raise Refused(404, f"there is no array {name}")
    return dict(found)


def _told(sender: Asker, words: str, where: str) -> Response:
    assert sender.session is not None
    sender.session.told = words
    return RedirectResponse(where, 303)
