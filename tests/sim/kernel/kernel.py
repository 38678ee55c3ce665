"""Processes and time: who runs, who sleeps, who dies, and when.

A process is a greenlet that runs the product's own code, blocking calls and all. Whatever it asks of the machine comes
here (modules.py puts this kernel in the place of `os`, `socket`, `select`, `signal` and `time`). Rules:
  * One process runs at a time, until a call of it has to wait. Time stands still meanwhile.
  * A call may hesitate: the others run on, so any order of calls is possible that a real machine allows.
  * Every call is a place to die at (`dies_at`), and so is every moment of waiting.
  * SIGKILL is not at once: `kill` returns, and the process may still do things until its death comes. One that the
    kernel holds, in a drive's work or a page fault, dies only when that call is over, and has had its effect. Then it
    is a zombie until its parent reaps it.
  * What a process that dies held open is closed; its children die with it.
  * When a machine's power goes, all of its processes are gone without a word to anybody.
"""

import heapq
import random
from collections.abc import Callable
from errno import EBADF

import greenlet  # type: ignore[import-untyped]  # it has no stubs

SECOND = 1_000_000_000
SIGKILL, SIGTERM, SIGCHLD = 9, 15, 17
STEPS_MOST = 400_000
"""A life that does more is one in which somebody turns in circles."""

Callback = Callable[[], object]
Main = Callable[["Process"], int]


class Killed(BaseException):
    """Unwinds a process that is dead. No handler of the product catches it."""


class SimulationError(AssertionError):
    """The simulation found something that must not be."""


class Description:
    """What a descriptor refers to; several descriptors, of several processes, may refer to one."""

    def __init__(self) -> None:
        self.references = 0
        self.watchers: dict[Watcher, None] = {}

    def events(self) -> int:
        """Give what epoll would say now: EPOLLIN and so on."""
        raise NotImplementedError

    def tell(self) -> None:
        """Wake whoever waits for this; they look for themselves what has changed."""
        for watcher in list(self.watchers):
            watcher.look()

    def released(self) -> None:
        """Nobody refers to it any more."""


class Watcher:
    """Somebody who wants to know when descriptions change."""

    def look(self) -> None:
        raise NotImplementedError


class Machine:
    """A box with power, addresses and processes."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_up = True
        self.processes: dict[int, Process] = {}


class Process(Watcher):
    """One process. `title` is what people find it by."""

    def __init__(self, kernel: "Kernel", machine: Machine, title: str, main: Main, parent: "Process | None") -> None:
        self.kernel = kernel
        self.machine = machine
        self.title = title
        self.main = main
        self.parent = parent
        self.pid = kernel.new_pid()
        self.children: dict[int, Process] = {}
        self.descriptors: dict[int, Description] = {}
        self.closed_sockets: set[int] = set()
        """Serial numbers of sockets that this process has closed, though others may hold them."""
        self.greenlet: greenlet.greenlet | None = None
        self.status: int | None = None
        self.is_killed = False
        """It does nothing any more but unwind."""
        self.death_is_due = False
        self.is_held = False
        """In the middle of a drive's work, which nothing interrupts."""
        self.is_stopped = False
        """SIGSTOP."""
        self.is_doomed = False
        """SIGKILL was sent."""
        self.is_orphan = False
        self.wake_is_kept = False
        self.turn = 0
        """Counts the waits, so that a wake-up that comes late wakes nobody."""
        self.is_waiting = False
        self.handlers: dict[int, Callable[[int, object], object]] = {}
        self.wakeup_fd = -1
        self.signals: list[int] = []
        self.calls = 0
        self.dies_at: int | None = None
        self.buried: list[Watcher] = []
        self.is_fenced = False
        """The server has promised that nothing of it can still be applied."""

    @property
    def is_alive(self) -> bool:
        return self.status is None

    def look(self) -> None:
        self.kernel.wake(self)

    # -- descriptors ---------------------------------------------------------------------------------------------

    def open(self, description: Description) -> int:
        """Give the lowest free number, as Linux does."""
        number = 3
        while number in self.descriptors:
            number += 1
        self.descriptors[number] = description
        description.references += 1
        return number

    def find(self, number: int) -> Description:
        try:
            return self.descriptors[number]
        except KeyError:
            raise OSError(EBADF, f"bad descriptor {number} in {self.title}") from None

    def close(self, number: int) -> None:
        description = self.find(number)
        del self.descriptors[number]
        description.references -= 1
        if not description.references:
            description.released()


class Kernel:
    """All machines of one life. `chance` decides whatever a real world leaves open."""

    def __init__(self, seed: int, hesitation: float) -> None:
        self.chance = random.Random(seed)
        self.hesitation = hesitation
        self.now_ns = 1000 * SECOND
        self.current: Process | None = None
        self.steps = 0
        self.slow_memory = 0.0
        """How likely a receive meets a page fault that takes long."""
        self.failure: BaseException | None = None
        self.on_exit: Callable[[Process], None] = lambda process: None
        self.on_birth: Callable[[Process], None] = lambda process: None
        self._events: list[tuple[int, int, Callback]] = []
        self._made = 0
        self._pids = 100
        self._hub = greenlet.getcurrent()

    def new_pid(self) -> int:
        self._pids += 1
        return self._pids

    # -- time ----------------------------------------------------------------------------------------------------

    @property
    def now_s(self) -> float:
        return self.now_ns / SECOND

    def at(self, when_ns: int, callback: Callback) -> None:
        self._made += 1
        heapq.heappush(self._events, (when_ns, self._made, callback))

    def later(self, delay_s: float, callback: Callback) -> None:
        self.at(self.now_ns + int(delay_s * SECOND), callback)

    def run(self, until_ns: int, is_over: Callable[[], bool]) -> None:
        """Let time pass until `is_over`, or until `until_ns`."""
        events = self._events
        while events and events[0][0] <= until_ns and not is_over():
            self.step()

    def step(self) -> None:
        when_ns, _, callback = heapq.heappop(self._events)
        self.now_ns = max(self.now_ns, when_ns)
        self.steps += 1
        if self.steps > STEPS_MOST:
            raise SimulationError(f"{STEPS_MOST} steps, and no end: somebody turns in circles")
        callback()
        if self.failure is not None:
            raise self.failure

    # -- processes -----------------------------------------------------------------------------------------------

    def spawn(self, machine: Machine, title: str, main: Main, parent: Process | None = None) -> Process:
        """Begin a process; it runs as soon as it is its turn."""
        process = Process(self, machine, title, main, parent)
        machine.processes[process.pid] = process
        if parent is not None:
            parent.children[process.pid] = process
        process.greenlet = greenlet.greenlet(lambda: self._live(process), self._hub)
        process.is_waiting = True
        self.on_birth(process)
        self.wake(process)
        return process

    def _live(self, process: Process) -> None:
        code = -SIGKILL
        try:
            code = int(process.main(process))
        except Killed:
            pass
        except BaseException as error:  # noqa: BLE001 the outermost line of a process
            code = 1
            if not process.is_orphan:  # what an orphan meets matters to nobody
                self.failure = self.failure or error
        if process.status is None and not process.is_killed:
            self._bury(process, code)

    def die(self, process: Process) -> None:
        """End it now; what it is in the middle of is cut."""
        if process.status is not None or process.is_killed:
            return
        process.is_killed = True
        if process is self.current:
            self._bury(process, -SIGKILL)
            raise Killed
        self._unwind(process)
        self._bury(process, -SIGKILL)

    def _unwind(self, process: Process) -> None:
        """Take its frames away. Its `finally` clauses run, and find that no call works any more."""
        assert process.greenlet is not None
        assert self.current is None, "only the hub unwinds another"
        if process.greenlet:  # begun, and not ended
            self.current = process
            process.greenlet.throw(Killed)
            self.current = None

    def _bury(self, process: Process, status: int) -> None:
        """Close what it held, take its children along, tell its parent."""
        process.status = status
        for number in list(process.descriptors):
            process.close(number)
        for child in list(process.children.values()):
            self.kill(child, SIGKILL)
            child.parent, child.is_orphan = None, True
        parent = process.parent
        if parent is None or not parent.is_alive:
            process.machine.processes.pop(process.pid, None)
        else:
            self.kill(parent, SIGCHLD)
        for watcher in process.buried:
            watcher.look()
        self.on_exit(process)

    def reap(self, pid: int) -> int | None:
        """waitpid(2) of a child of the current process: its status when it is dead."""
        parent = self.current
        assert parent is not None
        child = parent.children.get(pid)
        if child is None:
            raise ChildProcessError(10, "No child processes")
        if child.status is not None:
            del parent.children[pid]
            child.machine.processes.pop(pid, None)
        return child.status

    def power_off(self, machine: Machine) -> None:
        """Everything in it is gone, and nobody is told."""
        machine.is_up = False
        for process in list(machine.processes.values()):
            if process.status is None:
                process.is_killed = True
                self._unwind(process)
                process.status = -SIGKILL
                for number in list(process.descriptors):
                    process.close(number)
        machine.processes.clear()

    # -- signals -------------------------------------------------------------------------------------------------

    def kill(self, process: Process, number: int) -> None:
        """Send a signal."""
        if process.status is not None:
            return
        if number == SIGKILL:
            process.is_doomed = True
            self.go_on(process)
            self.later(self.chance.choice((0, 1e-5, 1e-4, 1e-3, 5e-3)), lambda: self._death_comes(process))
            return
        process.signals.append(number)
        if process.is_waiting:
            self.wake(process)

    def _death_comes(self, process: Process) -> None:
        if process.is_held:
            process.death_is_due = True
        else:
            self.die(process)

    def stop(self, process: Process) -> None:
        """SIGSTOP; too late for one that is to die."""
        process.is_stopped = not process.is_doomed

    def go_on(self, process: Process) -> None:
        """SIGCONT."""
        process.is_stopped = False
        if process.wake_is_kept:
            process.wake_is_kept = False
            self.wake(process)

    def take_signals(self, process: Process) -> None:
        """Run the handlers, in the process itself."""
        while process.signals:
            number = process.signals.pop(0)
            handler = process.handlers.get(number)
            if process.wakeup_fd >= 0 and handler is not None:
                process.find(process.wakeup_fd).write(bytes([number]))  # type: ignore[attr-defined]
            if callable(handler):
                handler(number, None)

    # -- waiting -------------------------------------------------------------------------------------------------

    def enter(self) -> Process:
        """Begin a call: give who calls. He may die here, or lose the processor."""
        process = self.current
        assert process is not None, "nobody runs, and somebody calls"
        if process.is_killed:
            raise Killed
        process.calls += 1
        if process.dies_at is not None and process.calls >= process.dies_at:
            self.die(process)
        if self.hesitation and self.chance.random() < self.hesitation:
            self.sleep(self.chance.expovariate(2000))
        if process.signals:
            self.take_signals(process)
        return process

    def leave(self) -> None:
        """End a call that may have been held: who was killed meanwhile does not come back from it."""
        assert self.current is not None
        if self.current.death_is_due:
            self.die(self.current)

    def sleep(self, seconds: float, *, held: bool = False) -> None:
        """Let the current process wait so long. `held`: nothing interrupts it; death waits till the call is over."""
        process = self.current
        assert process is not None
        until_ns = self.now_ns + int(seconds * SECOND)
        process.is_held = held
        while self.now_ns < until_ns:
            self.wait(until_ns)
        process.is_held = False

    def wait(self, until_ns: int | None) -> None:
        """Let the current process wait until it is woken, or until a moment. It may be woken for nothing."""
        process = self.current
        assert process is not None
        process.turn += 1
        process.is_waiting = True
        if until_ns is not None:
            turn = process.turn
            self.at(until_ns, lambda: self._wake_at(process, turn))
        self.current = None
        self._hub.switch()
        if process.is_killed:
            raise Killed
        if process.signals and not process.is_held:
            self.take_signals(process)

    def _wake_at(self, process: Process, turn: int) -> None:
        if process.turn == turn:
            self.wake(process)

    def wake(self, process: Process) -> None:
        """Something happened that it may have waited for: let it look, when it is its turn."""
        if not process.is_waiting or process.status is not None:
            return
        if process.is_stopped:
            process.wake_is_kept = True
            return
        process.is_waiting = False
        self.later(self.chance.expovariate(50_000), lambda: self._resume(process))

    def _resume(self, process: Process) -> None:
        if process.is_killed or process.status is not None:
            return
        if process.is_stopped:
            process.is_waiting = True
            process.wake_is_kept = True
            return
        self.current = process
        assert process.greenlet is not None
        process.greenlet.switch()
        self.current = None
