"""Attach and detach disks of a running host role: what `nsu attach` and `nsu detach` ask for.

Detaching, in this order:

1. The disk's own process is asked to leave. It refuses while somebody uses the disk, and `force` was not said.
2. It drains and ends. With `force` it takes the disk from under its users and ends after FORCED_DRAIN_S at the latest.
3. With `force`, a process that has not ended by KILL_AFTER_S, or does not answer at all, is killed.
4. What a killed process has left (a mount, a device, a socket file) is swept away, by a process of its own: the kernel
   may keep whoever asks it for that.

Guarantee: with `force` the answer comes within FORCED_MOST_S, whatever the disk's process, its users, the server and
the kernel do. A disk that could not be detached stays as it was, and the answer says why.

A disk is detached until `nsu attach`, or until the host role starts anew: nsu.conf says what is attached then.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hostside.disk import DRAIN_MOST_S
from hostside.disks import DiskState
from hostside.frontends.device_users import users_of
from hostside.frontends.open import Showing
from hostside.frontends.sweep import sweep
from hostside.link import ServerLink
from hostside.settings import DiskSettings
from ipc.child import HEART_NAMES, Child, Life, fork_child
from ipc.control import ControlError, RefusedError
from ipc.control_ask import ControlAsk
from ipc.control_connection import Answer, Deferred
from ipc.counters import CounterTable
from ipc.exits import Exit
from ipc.say import say

if TYPE_CHECKING:
    from hostside.host import HostProcess

LOOK_EVERY_S = 0.02
ATTACH_MOST_S = 10.0
ASK_MOST_S = 2.0
"""A process that takes longer to say who uses its disk does not answer any more."""
KILL_AFTER_S = 5.0
SWEEP_MOST_S = 2.0
LEAVE_MOST_S = DRAIN_MOST_S + 2.0
FORCED_MOST_S = 9.0

assert ASK_MOST_S < KILL_AFTER_S < FORCED_MOST_S - SWEEP_MOST_S


class Attaching:
    """Waits until the disk can be used; says what keeps it from that when it takes too long or has failed."""

    def __init__(self, host: "HostProcess", link: ServerLink, disk: DiskState) -> None:
        self.host = host
        self.link = link
        self.disk = disk
        self.answer = Deferred()
        self.started_s = host.loop.now()
        self.look()

    def look(self) -> None:
        """Appendix D has no such step: a partition becomes a local disk when its process says that it is shown."""
        disk, name = self.disk, self.disk.settings.name
        waited_s = self.host.loop.now() - self.started_s
        if not disk.wanted:
            self.answer.done({"error": f"{name} was detached meanwhile"})
        elif disk.child is not None and disk.child.is_ready:
            self.answer.done({"at": str(disk.settings.at), "seconds": round(waited_s, 3)})
        elif disk.failure:
            disk.wanted = False
            self.answer.done({"error": f"{name}: {disk.failure.removesuffix('; it is tried again')}"})
        elif waited_s >= ATTACH_MOST_S:
            why = disk.trouble or self.link.client.trouble or "its process has not shown it yet"
            self.answer.done({"error": f"{name} is not there yet: {why}; it is attached as soon as that is mended"})
        else:
            self.host.loop.call_later(LOOK_EVERY_S, self.look)


class Detaching:
    """Takes one disk from its users."""

    def __init__(self, host: "HostProcess", link: ServerLink, disk: DiskState, *, forced: bool) -> None:
        self.host = host
        self.loop = host.loop
        self.link = link
        self.disk = disk
        self.forced = forced
        self.answer = Deferred()
        self.users: list[str] = []
        self.was_killed = False
        self.started_s = self.loop.now()
        self.sweeper: Child | None = None
        self.swept_from_s = 0.0
        if disk.child is None:
            self.leave_without_process()
        else:
            ControlAsk(
                self.loop, host.disk_control(disk.settings.name), "leave", self.heard,
                timeout_s=ASK_MOST_S, force=forced,
            )  # fmt: skip

    def leave_without_process(self) -> None:
        """A device may outlive the process that made it, and be in use."""
        users = [] if self.forced else users_of_device(self.disk.settings)
        if users:
            self.answer.done({"error": f"{self.disk.settings.name} stays: {'; '.join(users)}"})
            return
        self.disk.wanted = False
        self.end()

    def end(self) -> None:
        """Its process has ended; what it may have left is taken from its users by force only."""
        if self.forced:
            self.sweep()
        else:
            self.tell()

    @property
    def waited_s(self) -> float:
        return self.loop.now() - self.started_s

    def heard(self, answer: Answer | ControlError) -> None:
        """Its process leaves, or says who uses the disk, or does not answer."""
        name = self.disk.settings.name
        if isinstance(answer, dict):
            self.users = answer["users"]
            self.leave()
        elif self.forced:
            self.disk.wanted = False
            self.kill(f"it did not answer: {answer}")
            self.leave()
        elif self.disk.child is not None and self.disk.child.is_ready and self.disk.child.poll() is None:
            hint = "" if isinstance(answer, RefusedError) else "; «--force» kills it"
            self.answer.done({"error": f"{name} stays attached: {answer}{hint}"})
        else:  # it had not begun to serve, or has just died: nobody can be using it
            self.disk.wanted = False
            self.kill("it is to be detached")
            self.leave()

    def leave(self) -> None:
        """Wait until its process has ended and is buried."""
        self.disk.wanted = False
        if self.disk.child is None:
            self.end()
            return
        if self.forced and self.waited_s >= KILL_AFTER_S:
            self.kill("it did not leave in time")
        if self.waited_s < (FORCED_MOST_S - SWEEP_MOST_S if self.forced else LEAVE_MOST_S):
            self.loop.call_later(LOOK_EVERY_S, self.leave)
            return
        pid, name = self.disk.child.pid, self.disk.settings.name
        how = "cannot be ended, the kernel holds it" if self.forced else "has not ended yet; «--force» ends it"
        self.answer.done({"error": f"{name}: its process (pid {pid}) {how}"})

    def kill(self, why: str) -> None:
        if self.disk.child is not None and self.disk.child.poll() is None:
            self.was_killed = True
            self.link.kill(self.disk.child, why)

    def sweep(self) -> None:
        """Clear away what a killed process left: this time's, or one of before."""
        settings = self.disk.settings
        showing = Showing(settings, self.link.entry.name, self.host.settings.state_dir)

        def main(_: Life) -> int:
            sweep(showing)
            return Exit.OK

        try:
            self.sweeper = fork_child(
                f"nsu: sweep {settings.name}", main, hearts=CounterTable(1, HEART_NAMES), heart_row=0
            )
        except OSError as error:  # no process is left: the next start of the disk sweeps too
            say(f"nsu: host: what is left of disk {settings.name} could not be cleared away: {error.strerror}")
        self.swept_from_s = self.loop.now()
        self.await_sweeper()

    def await_sweeper(self) -> None:
        sweeper = self.sweeper
        if sweeper is not None and sweeper.poll() is None:
            if self.loop.now() - self.swept_from_s < SWEEP_MOST_S:
                self.loop.call_later(LOOK_EVERY_S, self.await_sweeper)
                return
            sweeper.signal(9)
            self.host.sweepers.append(sweeper)  # to be reaped when the kernel lets it go
        elif sweeper is not None:
            sweeper.close()
        self.tell()

    def tell(self) -> None:
        self.answer.done({"users": self.users, "killed": self.was_killed, "seconds": round(self.waited_s, 3)})


class Attachments:
    """The verbs `attach` and `detach` of the host process's control socket."""

    def __init__(self, host: "HostProcess") -> None:
        self.host = host

    def attach(self, arguments: dict[str, Any]) -> Answer | Deferred:
        """`disk`: its settings, as DiskSettings has them; `server`: the SERVER whose partition it is."""
        settings = settings_from(arguments["disk"])
        link = self.link_of(arguments["server"])
        for other in self.host.links:
            self.check_free(other, settings, is_here=other is link)
        return Attaching(self.host, link, link.disks.attach(settings)).answer

    def link_of(self, server: str) -> ServerLink:
        for link in self.host.links:
            if link.entry.name == server:
                return link
        raise ControlError(f"the running host role has no SERVER {server}; it takes new ones when nsu is started again")

    def check_free(self, link: ServerLink, settings: DiskSettings, *, is_here: bool) -> None:
        """Refuse what would take another's name or place."""
        for disk in link.disks:
            if not disk.wanted and disk.child is None:
                continue
            if disk.settings == settings and is_here and disk.child is not None and disk.child.is_ready:
                continue  # attached just so: done before it began
            if disk.settings.name == settings.name:
                shown = f"{disk.settings.show} at {disk.settings.at}"
                if disk.child is None:
                    continue  # wanted, but not there: the new settings may be just what it lacks
                raise ControlError(f"{settings.name} is attached already, as {shown}; detach it first")
            if disk.settings.at == settings.at:
                raise ControlError(f"{settings.at} is where {disk.settings.name} is shown")

    def detach(self, arguments: dict[str, Any]) -> Answer | Deferred:
        """`name`: the disk; `force`: even from under its users."""
        name, forced = arguments["name"], bool(arguments.get("force"))
        for link in self.host.links:
            for disk in link.disks:
                if disk.settings.name == name:
                    if not disk.wanted and disk.child is None and not forced:
                        raise ControlError(f"{name} is detached already")
                    return Detaching(self.host, link, disk, forced=forced).answer
        known = ", ".join(sorted(disk.settings.name for link in self.host.links for disk in link.disks)) or "none"
        raise ControlError(f"there is no disk {name} here; there are: {known}")


def users_of_device(disk: DiskSettings) -> list[str]:
    """Name the users of the device that the link at AT leads to, if there is one; the device is not touched."""
    try:
        device = disk.at.readlink()
    except OSError:
        return []
    return users_of(device.name) if device.parent == Path("/dev") else []


def settings_from(told: dict[str, Any]) -> DiskSettings:
    """Make settings of what came over the control socket. Raises TypeError: it is something else."""
    return DiskSettings(**{**told, "at": Path(told["at"])})
