"""A plan comes into force: all of it, or nothing.

  1. nothing stands against it, and nsu.conf still says what the plan was made from; under the history's lock the
     machine is asked once more, for between a plan and a yes anybody may have begun to use what it takes away
  2. it is recorded in the history and saved (nsu/conf/save.py: checked, atomic), under the same lock, in this order:
     what is in force has a version, and a record whose text could not be saved is withdrawn
  3. the server that runs looks at the file, and this waits until it says that it goes by it
  4. when it can't: the former text is saved again, the record withdrawn, and its reason is the refusal

A crash between the steps leaves a whole file, old or new, and the server goes by whichever it is.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ipc.control import ControlError, control_call
from nsu.conf.errors import ChangeRefused, ConfErrors
from nsu.conf.load import digest_of, load_text, read_text, resolve_by_system, state_dir_of
from nsu.conf.save import save_text
from nsu.conf.server_role import Resolve
from nsu.history import BY_HAND, History, Version
from nsu.partitions.errors import NotSavedError, Refused
from nsu.partitions.facts import Facts, look
from nsu.partitions.plan import Plan, plan

IN_FORCE_WITHIN_S = 30.0
"""A change waits until nothing goes by the old table any more: a drive that hangs can hold it up."""
ASK_EVERY_S = 0.02


@dataclass(frozen=True, slots=True)
class Ground:
    """What a verb starts from."""

    conf: Path
    text: str
    """What the file says now, good or bad."""
    base: str
    """The last text that was good and that the server took: what is in force, as far as can be told."""
    state_dir: Path
    facts: Facts
    wrong: tuple[str, ...] = ()
    """Why the file as it stands is not the base; empty: it is."""

    @property
    def editable(self) -> str:
        """The text that a verb changes. Raises Refused: it would throw away what stands in the file, not in force."""
        if self.wrong:
            mend = f"{self.conf} is not in force as it stands: mend that first, or go back with nsu rollback"
            raise Refused(*self.wrong, mend)
        return self.base


@dataclass(frozen=True, slots=True)
class Applied:
    """A plan that was carried out."""

    version: int | None
    """Its number in the history; None: nothing changed."""
    in_force: bool
    sentence: str


def ground(conf: Path, *, resolve: Resolve = resolve_by_system) -> Ground:
    """Read the file, and ask who runs by it.

    Raises:
        ConfErrors: it is bad, and no good version is known.
        Refused: a server runs by it that does not answer.

    """
    text = read_text(conf)
    state_dir = state_dir_of(text)
    facts = look(state_dir)
    newest = History(state_dir).newest()
    wrong: tuple[str, ...] = (facts.refused,) if facts.refused else ()
    try:
        load_text(text, conf, resolve=resolve)
    except ConfErrors as errors:
        if newest is None:
            raise
        wrong = tuple(map(str, errors.errors))
    base = newest.text if wrong and newest is not None else text
    return Ground(conf, text, base, state_dir, facts, wrong)


def apply(
    found: Plan,
    at: Ground,
    *,
    who: str,
    when_s: float,
    force: bool = False,
    resolve: Resolve = resolve_by_system,
    within_s: float = IN_FORCE_WITHIN_S,
) -> Applied:
    """Carry out a plan that was made from `at`. `who`: for the history; `when_s`: now, in seconds since 1970.

    Raises:
        Refused: something stands against it, or has come up since the plan was made (`force` overrules only what it
            showed), or the server can't take it; everything is as before.
        ChangeRefused: the file was changed by somebody else meanwhile.
        NotSavedError: the file or its history can't be written.
        ConfErrors: the new text is not good any more (a SECRET_FILE that is gone, for instance).

    """
    Refused.unless_empty(each.sentence for each in found.standing(force=force))
    if found.new_text == at.text:
        return Applied(None, at.facts.runs, "nothing changes")
    history = History(at.state_dir)
    try:
        with history.locked():
            facts = look(at.state_dir)
            Refused.unless_empty(_came_up(found, at.conf, facts, resolve, force=force))
            version = _record_and_save(found, at, history, resolve, who=who, when_s=when_s)
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error)
        raise NotSavedError(f"it is not done, for it can't be written down: {what}") from error
    refusal = _ask_server(at.state_dir, found.new_text, within_s) if facts.runs else "the server does not run"
    number = None if version is None else version.number
    if refusal is None:
        return Applied(number, True, "it is in force")
    if isinstance(refusal, str):
        return Applied(number, False, f"{at.conf} is saved, and not yet in force: {refusal}")
    _take_back(found, at, history, version, resolve)
    raise Refused(*refusal)


def _record_and_save(
    found: Plan, at: Ground, history: History, resolve: Resolve, *, who: str, when_s: float
) -> Version | None:
    # What stands in the file now may be a change by hand that nothing has taken yet; it must not get lost.
    history.record(at.base, who=BY_HAND, what=("as it was found",), at_s=when_s)
    version = history.record(found.new_text, who=who, what=found.summary, at_s=when_s)
    try:
        save_text(at.conf, found.new_text, expected=at.text, resolve=resolve)
    except (ChangeRefused, ConfErrors, OSError):
        if version is not None:
            history.withdraw(version)
        raise
    return version


def _came_up(found: Plan, conf: Path, facts: Facts, resolve: Resolve, *, force: bool) -> Iterator[str]:
    """Give what stands against it now; `force` was said of what the plan showed, and of nothing else."""
    shown = {refusal.sentence for refusal in found.refusals}
    now = plan(found.old_text, found.new_text, facts, path=conf, resolve=resolve)
    for refusal in now.refusals:
        if refusal.sentence not in shown:
            yield f"it came up after the plan was made: {refusal.sentence}"
        elif not (force and refusal.can_force):
            yield refusal.sentence


def _take_back(found: Plan, at: Ground, history: History, version: Version | None, resolve: Resolve) -> None:
    with history.locked():
        save_text(at.conf, at.base, expected=found.new_text, resolve=resolve)
        if version is not None:
            history.withdraw(version)
    _ask_server(at.state_dir, at.base, IN_FORCE_WITHIN_S)


def _ask_server(state_dir: Path, text: str, within_s: float) -> list[str] | str | None:
    """Have the server look at its file. None: it goes by this text; a list: why it can't; a string: it does not say."""
    control = state_dir / "server.sock"
    digest = digest_of(text)
    until_s = time.monotonic() + within_s
    while time.monotonic() < until_s:
        try:
            conf = control_call(control, "reload")
        except ControlError as error:
            return f"{error}; it takes the file when it runs again"
        if conf["digest"] == digest and not conf["changing"]:
            return _reasons(conf) or None
        time.sleep(ASK_EVERY_S)
    return f"the server has not said within {within_s:g} s that it goes by it; see: nsu status"


def _reasons(conf: dict[str, Any]) -> list[str]:
    return [*conf["errors"], *([conf["refused"]] if conf["refused"] else [])]
