"""Which path is opened next, over which network, and which is closed: decisions only, from the table of paths.

In this order
  1. A network in doubt is tried by one path, when it has rested, and if a path over it would help.
  2. Paths that are missing are opened, over the networks that work, by the share of each network's places that is
     taken: DATA_PORT(n) says how much a network is to carry. For a moment the share of one in doubt is kept free.
  3. When none is missing, paths are moved until the shares are as even as they can be: one at a time, the new one
     first, and only to a network that has been steady. Each move makes the largest share smaller, so there is an end.
  4. What is too much, after a move or because less is wanted, is closed, where the share is largest.

Never is a path closed while no more than `wanted` others work; never does a network in doubt hold more than one place,
nor one that is needed for a path over a network that works.
"""

from hostside.networks import Network
from hostside.paths import Path, PathState, PathTable

CLOSE_MOST_S = 10.0
"""An agent that was told to close and has not ended by then is killed."""

_OPENING = (PathState.TICKET, PathState.STARTING)


def next_opening(table: PathTable, now_s: float) -> tuple[Path, Network] | None:
    """Give a path to open now, and over which network; None: there is none. To be asked again until then."""
    path = next((path for path in table.paths if path.state is PathState.IDLE), None)
    if path is None:
        return None
    network = _to_try(table, now_s) or _to_fill(table, now_s) or _to_balance(table, now_s)
    return None if network is None else (path, network)


def next_closing(table: PathTable, now_s: float) -> Path | None:
    """Give a path to close now: one that nobody will miss."""
    if any(path.state is PathState.CLOSING for path in table.paths):
        return None
    sturdy = sum(path.state is PathState.UP and _is_sturdy(path, now_s) for path in table.paths)
    fullest = _fullest(table)
    if sturdy <= table.wanted or fullest is None:
        return None
    return next(path for path in reversed(table.paths) if path.state is PathState.UP and path.network is fullest)


def overdue(table: PathTable, now_s: float) -> list[Path]:
    """Give those that do not end though they were told to close."""
    return [path for path in table.paths if path.state is PathState.CLOSING and now_s >= path.since_s + CLOSE_MOST_S]


def next_at(table: PathTable, now_s: float) -> float | None:
    """Give when any of these answers may change by time alone."""
    times = [network.next_at(now_s) for network in table.networks]
    times += [path.since_s + CLOSE_MOST_S for path in table.paths if path.state is PathState.CLOSING]
    if table.up_count > table.wanted:
        times += [path.since_s + path.network.steady_s for path in table.paths if path.network is not None]
    return min((at_s for at_s in times if at_s is not None and at_s > now_s), default=None)


# -- the four steps ----------------------------------------------------------------------------------------------


def _to_try(table: PathTable, now_s: float) -> Network | None:
    """Give a network in doubt that is to be tried now: first one that may only have lost a process."""
    missing = _missing(table, now_s)
    due = [
        network
        for network in table.networks
        if network.in_doubt
        and network.probe_at_s <= now_s
        and _has_room(table, network)
        and not _opening_on(table, network)
        and (missing > 0 or _is_emptier(table, network))
    ]
    idle = sum(path.state is PathState.IDLE for path in table.paths)
    if idle <= missing and any(not network.is_down and _has_room(table, network) for network in table.networks):
        due = [network for network in due if not network.is_down]  # the place is needed where it works
    return min(due, key=lambda network: (network.is_down, network.probe_at_s), default=None)


def _to_fill(table: PathTable, now_s: float) -> Network | None:
    """Give the network that the next missing path belongs to; None also when that one is in doubt and hoped for."""
    taken = {network.port: _used(table, network) for network in table.networks}
    for _ in range(_missing(table, now_s)):
        free = [
            network
            for network in table.networks
            if taken[network.port] < network.port.connections_max
            and (not network.in_doubt or network.is_hoped_for(now_s))
        ]
        network = min(free, key=lambda one: taken[one.port] / one.port.connections_max, default=None)
        if network is None or not network.in_doubt:
            return network
        taken[network.port] += 1
    return None


def _to_balance(table: PathTable, now_s: float) -> Network | None:
    """Give a network to which a path is to be moved."""
    if _carrying(table) != table.wanted or _in_motion(table):
        return None
    better = [
        network
        for network in table.networks
        if network.is_steady(now_s) and _has_room(table, network) and _is_emptier(table, network)
    ]
    return min(better, key=lambda one: (_used(table, one) + 1) / one.port.connections_max, default=None)


def _fullest(table: PathTable) -> Network | None:
    """Give the network with the largest share of its places taken, of those with a path that is up."""
    up = [path.network for path in table.paths if path.state is PathState.UP and path.network is not None]
    order = {id(network): number for number, network in enumerate(table.networks)}
    return max(up, key=lambda one: (_share(table, one), order.get(id(one), -1)), default=None)


# -- counting ----------------------------------------------------------------------------------------------------


def _used(table: PathTable, network: Network) -> int:
    """Count the places that are taken on `network`."""
    return sum(path.network is network and path.state is not PathState.IDLE for path in table.paths)


def _has_room(table: PathTable, network: Network) -> bool:
    return _used(table, network) < network.port.connections_max


def _share(table: PathTable, network: Network) -> float:
    return _used(table, network) / max(1, network.port.connections_max)


def _opening_on(table: PathTable, network: Network) -> bool:
    return any(path.network is network and path.state in _OPENING for path in table.paths)


def _is_emptier(table: PathTable, network: Network) -> bool:
    """Whether a path moved here would leave its former network with no smaller share than this one has then."""
    fullest = _fullest(table)
    if fullest is None or fullest is network:
        return False
    after = _used(table, network) + 1
    return _used(table, fullest) * network.port.connections_max > after * fullest.port.connections_max


def _carrying(table: PathTable) -> int:
    """Count the paths that are up, as good as up, or soon replaced."""
    return sum(
        path.state in (PathState.UP, PathState.FENCING)
        or (path.state in _OPENING and path.network is not None and not path.network.in_doubt)
        for path in table.paths
    )


def _missing(table: PathTable, now_s: float) -> int:
    """Count the paths that are wanted and neither there nor on their way over a network that is hoped for."""
    hoped = sum(
        path.state in _OPENING and path.network is not None and path.network.is_hoped_for(now_s) for path in table.paths
    )
    return max(0, table.wanted - _carrying(table) - hoped)


def _in_motion(table: PathTable) -> bool:
    """Whether a path is being moved, or buried; one that tries a network in doubt counts for nothing."""
    return any(
        path.state in (PathState.CLOSING, PathState.FENCING)
        or (path.state in _OPENING and path.network is not None and not path.network.in_doubt)
        for path in table.paths
    )


def _is_sturdy(path: Path, now_s: float) -> bool:
    """Whether it can be relied upon: its network is steady, or it has itself stood for as long."""
    network = path.network
    return network is not None and (network.is_steady(now_s) or now_s >= path.since_s + network.steady_s)
