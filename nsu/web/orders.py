"""What is done for those who ask by REST or by a page, by the same engine as the command line's.

Each time there is a line in the audit log before it is done, and one when it is.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hostside.settings import HostRoleSettings
from nsu.arrays import begin_scrub, replace
from nsu.attach import NotAttachedError, attach, detach, wanted_disk
from nsu.conf.load import digest_of, load_text, read_text
from nsu.history import History
from nsu.partitions import verbs
from nsu.partitions.apply import Ground, apply, ground
from nsu.partitions.facts import Facts
from nsu.partitions.plan import plan
from nsu.partitions.size import Size
from nsu.partitions.view import partitions_of
from nsu.web.api import bodies
from nsu.web.gate import Asker
from nsu.web.refusals import Refused, refusal_of
from nsu.web.site import Site

Verb = Callable[[str, Any, Facts], str]


def _create(text: str, body: bodies.Create, facts: Facts) -> str:
    grants = [verbs.Grant(one.host, one.access == "read-only") for one in body.hosts]
    size = Size.parse(body.size)
    wanted = verbs.Creation(body.name, size, body.array, grants, zero=body.zero, shared_write=body.shared_write)
    return verbs.create(text, wanted, facts)


def _share(text: str, body: bodies.Share, facts: Facts) -> str:
    grant = verbs.Grant(body.host, body.access == "read-only")
    return verbs.share(text, body.partition, grant, shared_write=body.shared_write, new_name=body.name, facts=facts)


def _set_access(text: str, body: bodies.SetAccess, _facts: Facts) -> str:
    is_read_only = body.access == "read-only"
    return verbs.set_access(
        text, body.partition, read_only=is_read_only, host=body.host, shared_write=body.shared_write
    )


def _assign(text: str, body: bodies.Assign, facts: Facts) -> str:
    return verbs.assign(text, body.partition, verbs.Grant(body.host, body.access == "read-only"), facts)


VERBS: dict[str, tuple[type[bodies.Changing], Verb]] = {
    "create": (bodies.Create, _create),
    "resize": (bodies.Resize, lambda text, b, facts: verbs.resize(text, b.partition, Size.parse(b.size), facts)),
    "rename": (bodies.Rename, lambda text, b, facts: verbs.rename(text, b.partition, b.name, facts)),
    "assign": (bodies.Assign, _assign),
    "unassign": (bodies.Unassign, lambda text, b, facts: verbs.unassign(text, b.partition, b.host, facts)),
    "chown": (bodies.Chown, lambda text, b, facts: verbs.chown(text, b.partition, b.host, facts)),
    "share": (bodies.Share, _share),
    "access": (bodies.SetAccess, _set_access),
    "zero": (bodies.SetZero, lambda text, b, _facts: verbs.set_zero(text, b.partition, zero=b.zero)),
    "delete": (bodies.OfPartition, lambda text, b, _facts: verbs.delete(text, b.partition)),
}
"""Verb of `nsu partition` -> what it takes, and what it makes of the text of nsu.conf."""


class Orders:
    """What `asker` may order of `site`; his role was checked before."""

    def __init__(self, site: Site, asker: Asker) -> None:
        self.site = site
        self.asker = asker

    # -- nsu.conf ------------------------------------------------------------------------------------------------

    def partition(self, verb: str, body: bodies.Changing) -> dict[str, Any]:
        """Plan a verb of `nsu partition`, and carry it out unless `plan_only`. Gives an Outcome."""
        return self._change(f"partition {verb}", body, lambda at: VERBS[verb][1](at.editable, body, at.facts))

    def apply(self, body: bodies.Apply) -> dict[str, Any]:
        """The same with a whole new text."""
        return self._change("apply", body, lambda _: body.text)

    def rollback(self, body: bodies.Rollback) -> dict[str, Any]:
        """The same with a version of the history."""
        version = History(self.site.state_dir).get(body.version)
        if version is None:
            raise Refused(404, f"there is no version {body.version}; see: nsu history")
        return self._change(f"rollback {body.version}", body, lambda _: version.text)

    def _change(self, what: str, body: bodies.Changing, verb: Callable[[Ground], str]) -> dict[str, Any]:
        at = ground(self.site.conf_path)
        base = digest_of(at.text)
        if body.base is not None and body.base != base:
            raise Refused(409, "nsu.conf was changed by somebody else meanwhile: look again, and decide again")
        found = plan(at.base, verb(at), at.facts, path=self.site.conf_path)
        against = digest_of("\n".join(each.sentence for each in found.refusals))
        not_done = {"applied": False, "in_force": False, "version": None}
        outcome = {"plan": found.as_dict(), "base": base, "against": against, **not_done}
        if body.plan_only:
            return {**outcome, "sentence": "nothing was changed: this is what it would do"}
        if body.force and body.against not in (None, against):
            raise Refused(409, "something else speaks against it by now: look again, and decide again")
        with self.noted(what, [*found.summary, *(["forced"] if body.force else [])]):
            who = f"{self.asker.name} ({self.asker.how}, {self.asker.address})"
            done = apply(found, at, who=who, when_s=time.time(), force=body.force)
        in_force = {"applied": True, "in_force": done.in_force, "version": done.version, "sentence": done.sentence}
        return {**outcome, **in_force}

    # -- arrays and disks ------------------------------------------------------------------------------------------

    def scrub(self, array: str) -> None:
        """Compare all that an array keeps twice."""
        with self.noted(f"array scrub {array}"):
            begin_scrub(self.site.state_dir, array)

    def replace(self, array: str, body: bodies.Replace) -> dict[str, Any]:
        """Put a drive out, and rebuild it on another. Gives a Replacement."""
        new = None if body.new is None else Path(body.new)
        with self.noted(f"array replace {array} {body.old} {body.new or '(a spare)'}", ["forced"] * body.force):
            return replace(self.site.state_dir, array, body.old, new, force=body.force)

    def attach(self, disk: str) -> None:
        """Show a partition of this machine's SERVERs as a disk."""
        with self.noted(f"attach {disk}"):
            try:
                entry, settings = wanted_disk(self._host_role(), disk, server=None, show=None, at=None)
                attach(self.site.state_dir, entry, settings)
            except NotAttachedError as error:
                raise Refused(409, str(error)) from error

    def detach(self, disk: str, *, force: bool) -> None:
        """Take a disk away."""
        with self.noted(f"detach {disk}", ["forced"] * force):
            detach(self.site.state_dir, disk, force=force)

    def _host_role(self) -> HostRoleSettings:
        host = load_text(read_text(self.site.conf_path), self.site.conf_path, resolve=lambda _: ()).host
        if host is None:
            raise Refused(409, "nsu.conf has no SERVER block, so this machine has no disks")
        return host

    # -- the audit log -----------------------------------------------------------------------------------------------

    @contextmanager
    def noted(self, what: str, details: list[str] | None = None) -> Iterator[None]:
        """Note that it is begun, and how it ends. Without the first line nothing is done."""
        note_audit(self.site, self.asker, what, "begun", details or [])
        try:
            yield
        except Exception as error:
            refusal = refusal_of(error)
            words = [str(error)] if refusal is None else [refusal.sentence, *refusal.details]
            with suppress(Refused):  # the refusal itself is what has to be told
                note_audit(self.site, self.asker, what, "refused" if refusal else "failed", words)
            raise
        self.site.watcher.outdate()
        with suppress(Refused):  # it is done: to say otherwise would be wrong
            note_audit(self.site, self.asker, what, "done", [])


def note_audit(site: Site, asker: Asker, what: str, outcome: str, details: list[str]) -> None:
    """Write a line of the audit log. Raises Refused: it can't be written."""
    who = {"who": asker.name, "how": asker.how, "address": asker.address}
    try:
        site.audit.note(**who, what=what, outcome=outcome, details=details)
    except OSError as error:
        words = f"the audit log {site.audit.path} can't be written ({error.strerror}), so nothing is done"
        raise Refused(503, words) from error


def partitions(site: Site) -> list[dict[str, Any]]:
    """Give all partitions, as nsu.conf has them."""
    return [partition.as_dict() for partition in partitions_of(read_text(site.conf_path))]
