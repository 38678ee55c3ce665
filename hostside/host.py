"""The host process: one link to each NSU, the agents and disk processes, and a door for `nsu status`.

It has no threads, because it forks. Signals are enqueued and acted on in the one loop; children are reaped there, and
those that stand still are killed (`ipc/watch.py`).
"""

import time
from pathlib import Path

from hostside.attachment import Attachments
from hostside.config_client import Newest, newest_known
from hostside.disk import DRAIN_MOST_S as DISK_DRAIN_MOST_S
from hostside.disk import run_disk
from hostside.disks import DiskState
from hostside.link import ServerLink
from hostside.settings import HostRoleSettings
from hostside.status import describe_disks, describe_host
from ipc.child import Child, Life, fork_child
from ipc.control import ControlServer
from ipc.exits import Exit
from ipc.interfaces import Interfaces
from ipc.loop import Loop
from ipc.say import say, say_held
from ipc.watch import Watch
from protocol.timers import CHILD_SILENT_MOST_S, LOOK_EVERY_S, MISSED_AFTER_S, SPINNING_MOST_S, STOPPED_MOST_S

SIGTERM, SIGCHLD, SIGHUP = 15, 17, 1
LOOK_AROUND_EVERY_S = 1.0
DRAIN_MOST_S = 12.0
DRAIN_TOLD_S = 0.5
"""A drain that takes longer than this is told of."""


class HostProcess:
    """The host role of one machine."""

    def __init__(self, life: Life, settings: HostRoleSettings, newest: Newest = newest_known) -> None:
        self.life = life
        self.settings = settings
        self.loop = Loop()
        self.started_s = time.time()
        settings.state_dir.mkdir(parents=True, exist_ok=True)
        self.links = [ServerLink(self.loop, entry, self.fork_disk, newest, settings.user) for entry in settings.servers]
        self.attachments = Attachments(self)
        self.sweepers: list[Child] = []
        """Of detached disks, killed and not yet gone."""
        self.control = ControlServer(
            self.loop,
            settings.state_dir / "host.sock",
            {
                "status": lambda _: describe_host(self),
                "disks": lambda _: describe_disks(self),
                "attach": self.attachments.attach,
                "detach": self.attachments.detach,
            },
        )
        self.stopping = False
        self.interfaces = Interfaces()
        self.watch = Watch(
            look_every_s=LOOK_EVERY_S,
            missed_s=MISSED_AFTER_S,
            stopped_s=STOPPED_MOST_S,
            spinning_s=SPINNING_MOST_S,
            patience_s=CHILD_SILENT_MOST_S,
        )

    def run(self) -> Exit:
        """Serve until SIGTERM; then drain the disks first, the agents after them."""
        self.loop.on_signal(SIGTERM, self.stop)
        self.loop.on_signal(SIGCHLD, self.reap)
        self.loop.on_signal(SIGHUP, lambda: None)
        for link in self.links:
            link.start()
        if self.life.stop_asked:
            self.loop.call_later(0, self.stop)  # SIGTERM came before the loop could hear it
        self.life.ready()
        self.look()
        self.look_around()
        self.loop.run()
        for link in self.links:
            link.close()
        self.control.close()
        return Exit.OK

    def look(self) -> None:
        """Beat, bury what a lost SIGCHLD left, kill the silent."""
        self.life.beat()
        self.reap()
        self.kill_useless()
        say_held()
        self.loop.call_later(LOOK_EVERY_S, self.look)

    def look_around(self) -> None:
        """Once a second: what is new among the interfaces of this machine, and how busy the paths are."""
        if self.interfaces.look().appeared:
            for link in self.links:
                link.try_networks()
        for link in self.links:
            link.look_at_load()
        self.loop.call_later(LOOK_AROUND_EVERY_S, self.look_around)

    def kill_useless(self) -> None:
        """A disk or agent that is not at work holds up requests; its paths are buried in order."""
        owners = {child: link for link in self.links for child in link.children() if child not in link.killed}
        for child, why in self.watch.useless(owners):
            say(f"nsu: host: {child.title.removeprefix('nsu: ')} is killed: {why}")
            owners[child].kill(child, f"{why}, and was killed")

    def reap(self) -> None:
        for link in self.links:
            link.reap()
        for sweeper in [sweeper for sweeper in self.sweepers if sweeper.poll() is not None]:
            self.sweepers.remove(sweeper)
            sweeper.close()
        if self.stopping:
            self.stop_on()

    # -- disks ---------------------------------------------------------------------------------------------------

    def fork_disk(self, link: ServerLink, disk: DiskState) -> Child:
        assert disk.unit is not None
        wiring, index, unit = link.wiring, disk.index, disk.unit
        settings, entry = disk.settings, link.entry
        at = self.disk_control(settings.name)
        return fork_child(
            f"nsu: disk {settings.name}",
            lambda life: run_disk(life, wiring, index, unit, settings, entry, at),
            hearts=wiring.hearts,
            heart_row=wiring.paths + index,
            keep=wiring.descriptors(),
        )

    def disk_control(self, name: str) -> Path:
        return self.settings.state_dir / f"disk-{name}.sock"

    # -- ending --------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """SIGTERM: the disks drain while their agents still work, then the agents go."""
        if self.stopping:
            return
        self.stopping = True
        for link in self.links:
            link.stopping = True
            for disk in link.disks:
                if disk.child is not None:
                    disk.child.signal(SIGTERM)
        self.loop.call_later(DRAIN_MOST_S, self.loop.stop)
        self.loop.call_later(DRAIN_TOLD_S, self.tell_drain)
        self.stop_on()

    def tell_drain(self) -> None:
        """Whoever pressed Control-C waits by now."""
        busy = ", ".join(disk.settings.name for link in self.links for disk in link.disks if disk.child is not None)
        say(f"nsu: host: draining: what is in flight is being finished, {DISK_DRAIN_MOST_S:g} s at most: {busy}")

    def stop_on(self) -> None:
        if all(disk.child is None for link in self.links for disk in link.disks):
            self.loop.stop()


def run_host(life: Life, settings: HostRoleSettings, newest: Newest = newest_known) -> int:
    """Live as `nsu: host`. `newest` is asked for the secret at each login."""
    return HostProcess(life, settings, newest).run()
