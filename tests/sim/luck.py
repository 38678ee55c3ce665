"""Bad luck: what can break, each kind by name, counted. `heal` mends all of it."""

from collections import Counter
from collections.abc import Callable
from errno import EIO, ENOSPC
from typing import TYPE_CHECKING

from tests.sim.kernel.kernel import SIGKILL, SIGTERM, Process
from tests.sim.kernel.tcp import Endpoint

if TYPE_CHECKING:
    from tests.sim.life import LifeOfBoth


class Luck:
    """The bad luck of one life: a few kinds, so that each gets its turn undisturbed by all the others."""

    def __init__(self, life: "LifeOfBoth") -> None:
        self.life = life
        self.kernel = life.kernel
        self.chance = life.kernel.chance
        self.struck: Counter[str] = Counter()
        kinds = self.kinds().keys() - {"write error", "sync error", "no space", "unit changed"}
        self.kinds_here = self.chance.sample(sorted(kinds), self.chance.choice((2, 3, 5, 8)))
        if self.chance.random() < 0.4:
            self.kinds_here = [*self.kinds_here[:2], "ambush", "ambush", "ambush at the drive"]
        self.kinds_here += 2 * self.special()
        self.mean_s = life.plan.pause_s * self.chance.choice((2, 5, 10))
        self.left = self.chance.choice((2, 5, 10, 15))
        self.doomed = self.chance.choice((0.0, 0.0, 0.2, 0.5)) if "doom" in self.kinds_here else 0.0
        self.is_over = False

    def kinds(self) -> dict[str, Callable[[], bool]]:
        kinds = {
            f"kill {title}": self.killing(f"nsu: {title}")
            for title in ("agent", "srw", "driver", "disk", "host", "server")
        } | {
            "doom": self.doom,
            "restart server": lambda: self.ask_to_stop("nsu: server"),
            "restart host": lambda: self.ask_to_stop("nsu: host"),
            "NSU loses power": lambda: self.power(self.life.nsu),
            "host loses power": lambda: self.power(self.life.host),
            "reset": self.reset,
            "session cut": self.cut_session,
            "stall": self.stall,
            "half-close": self.half_close,
            "cut": self.cut,
            "freeze": self.freeze,
            "ambush": self.ambush,
            "ambush at the drive": self.hang,
            "slow drive": self.slow,
        }
        drive = {"write error": self.write_error, "sync error": self.sync_error, "no space": self.no_space}
        return kinds | drive | {"unit changed": self.change}

    def special(self) -> list[str]:
        """Give what only some lives may meet, for there requests may fail."""
        drive = ["write error", "sync error", "no space"] if self.life.may_fail else []
        return drive + (["unit changed"] if self.life.may_change else [])

    # -- when ----------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        if self.left > 0 and not self.is_over:
            self.kernel.later(self.chance.expovariate(1 / self.mean_s), self.strike)

    def strike(self) -> None:
        if self.is_over:
            return
        self.left -= 1
        kind = self.chance.choice(self.kinds_here)
        if self.kinds()[kind]():
            self.struck[kind] += 1
            self.life.log(f"*** {kind}")
        self.begin()

    def born(self, process: Process) -> None:
        """Some die at their n-th call."""
        if not self.is_over and self.chance.random() < self.doomed:
            process.dies_at = self.chance.choice((self.chance.randrange(1, 40), self.chance.randrange(20, 600)))

    # -- processes -----------------------------------------------------------------------------------------------

    def some(self, title: str) -> Process | None:
        found = [
            process
            for box in (self.life.nsu, self.life.host)
            for process in box.machine.processes.values()
            if process.is_alive and process.title.startswith(title)
        ]
        return self.chance.choice(found) if found else None

    def killing(self, title: str) -> Callable[[], bool]:
        return lambda: self.kill(title)

    def kill(self, title: str) -> bool:
        process = self.some(title)
        if process is not None:
            self.kernel.kill(process, SIGKILL)
        return process is not None

    def doom(self) -> bool:
        process = self.some("nsu: ")
        if process is not None:
            process.dies_at = process.calls + self.chance.randrange(1, 60)
        return process is not None

    def ask_to_stop(self, title: str) -> bool:
        process = self.some(title)
        if process is not None:
            self.kernel.kill(process, SIGTERM)
        return process is not None

    def freeze(self) -> bool:
        process = self.some("nsu: ")
        if process is None:
            return False
        self.kernel.stop(process)
        self.kernel.later(self.chance.choice((0.01, 0.3, 3.0, 12.0)), lambda: self.kernel.go_on(process))
        return True

    def ambush(self) -> bool:
        """A path dies with bytes, or commands, on their way; the server is slow to hear of it; then they arrive."""
        agent, server = self.some("nsu: agent"), self.some("nsu: server")
        sockets = [] if agent is None else [d for d in agent.descriptors.values() if isinstance(d, Endpoint) and d.out]
        if agent is None or server is None or not sockets:
            return False
        line, pause_s = sockets[0].out, self.life.plan.pause_s
        assert line is not None
        late_s = pause_s * self.chance.choice((10, 20))
        if self.chance.random() < 0.7:
            self.life.net.stall(line)
            self.kernel.later(late_s, lambda: self.life.net.arrive_now(line))
        else:
            self.kernel.stop(agent)
        if self.chance.random() < 0.7:
            self.kernel.stop(server)
            self.kernel.later(late_s + 10 * pause_s, lambda: self.kernel.go_on(server))
        self.kernel.later(pause_s * self.chance.choice((1, 3)), lambda: self.kernel.kill(agent, SIGKILL))
        return True

    def hang(self) -> bool:
        """A drive holds whoever uses it next; meanwhile something dies."""
        file = self.chance.choice(self.life.nsu.files)
        file.hangs_s = self.chance.choice((0.1, 0.5, 3.0))
        end = self.chance.choice((
            self.reset, self.agents_die, self.agents_die_unheard,
            *(self.killing(title) for title in ("nsu: agent", "nsu: srw", "nsu: server", "nsu: disk")),
        ))  # fmt: skip
        if self.life.host.fail_after_s is not None and self.chance.random() < 0.7:
            end = self.agents_die_unheard  # what is given up, and may still be applied
        self.kernel.later(self.life.plan.pause_s * self.chance.choice((1, 3)), end)
        return True

    def agents_die_unheard(self) -> bool:
        """And the server stands still: there is no path, and no fence, for longer than some disks wait."""
        server = self.some("nsu: server")
        if server is not None:
            self.kernel.stop(server)
            self.kernel.later(self.chance.choice((0.5, 1.5)), lambda: self.kernel.go_on(server))
        return self.agents_die()

    def agents_die(self) -> bool:
        """All of them at once: there is no path for a while."""
        agents = [p for p in self.life.host.machine.processes.values() if p.title.startswith("nsu: agent")]
        for agent in agents:
            self.kernel.kill(agent, SIGKILL)
        return bool(agents)

    def power(self, box: object) -> bool:
        self.life.power_off(box)  # type: ignore[arg-type]
        return True

    # -- the network ---------------------------------------------------------------------------------------------

    def reset(self) -> bool:
        lines = self.life.net.lines()
        if lines:
            self.life.net.reset(self.chance.choice(lines))
        return bool(lines)

    def cut_session(self) -> bool:
        """The configuration socket is reset."""
        host = self.life.host.process
        sockets = [] if host is None else [d for d in host.descriptors.values() if isinstance(d, Endpoint) and d.out]
        for endpoint in sockets:
            assert endpoint.out is not None
            self.life.net.reset(endpoint.out)
        return bool(sockets)

    def half_close(self) -> bool:
        lines = self.life.net.lines()
        if lines:
            self.life.net.half_close(self.chance.choice(lines))
        return bool(lines)

    def stall(self) -> bool:
        lines = self.life.net.lines()
        if not lines:
            return False
        line = self.chance.choice(lines)
        self.life.net.stall(line)
        self.kernel.later(self.chance.choice((0.01, 0.5, 5.0, 40.0)), lambda: self.life.net.go_on(line))
        return True

    def cut(self) -> bool:
        network = self.chance.choice(self.life.net.networks)
        if network.is_cut:
            return False
        self.life.net.cut(network)
        self.kernel.later(self.chance.choice((0.05, 1.0, 8.0, 40.0)), lambda: self.life.net.mend(network))
        return True

    # -- drives and settings -------------------------------------------------------------------------------------

    def slow(self) -> bool:
        file = self.chance.choice(self.life.nsu.files)
        file.is_slow = True
        self.kernel.later(self.chance.choice((0.1, 1.0)), lambda: setattr(file, "is_slow", False))
        return True

    def write_error(self) -> bool:
        file = self.chance.choice(self.life.nsu.files)
        file.trouble.write_errno, file.trouble.writes_till = EIO, self.chance.randrange(5)
        return True

    def no_space(self) -> bool:
        file = self.chance.choice(self.life.nsu.files)
        file.trouble.write_errno, file.trouble.writes_till = ENOSPC, self.chance.randrange(5)
        return True

    def sync_error(self) -> bool:
        self.chance.choice(self.life.nsu.files).trouble.sync_till = self.chance.randrange(2)
        return True

    def change(self) -> bool:
        self.life.nsu.change_unit()
        return True

    # -- the end of it -------------------------------------------------------------------------------------------

    def heal(self) -> None:
        """No more bad luck, and what it left is mended."""
        self.is_over = True
        for network in self.life.net.networks:
            self.life.net.mend(network)
            for line in network.lines:
                self.life.net.go_on(line)
        for box in (self.life.nsu, self.life.host):
            self.life.power_on(box)
            for process in box.machine.processes.values():
                process.dies_at = None
                self.kernel.go_on(process)
        for file in self.life.nsu.files:
            file.is_slow, file.hangs_s = False, 0.0
            file.trouble.writes_till = file.trouble.sync_till = file.trouble.read_till = -1
        if self.life.nsu.see_to_drives():
            self.kill("nsu: server")  # a failed drive stays failed until somebody has seen to it, and started anew
