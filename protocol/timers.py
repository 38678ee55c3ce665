"""How long a peer may be silent before it is taken for gone: every such time of both sides, and how they fit together.

What is promised: whatever has happened to the other end, a path over it is given up within FOUND_WITHIN_S. What is told
(a reset, an end of file, a killed process) is found at once; the times here are for what nobody tells.

| what is silent | who finds it | how |
|---|---|---|
| the machine or the network, path idle | host | PING_EVERY_S after its last word a ping, which is not acknowledged |
| the same, path busy | host | what was sent is not acknowledged for UNANSWERED_MOST_S |
| the same, all that was sent is acknowledged | host | keepalive asks; that is not acknowledged for as long |
| the reader/writer, path idle | host | the ping is acknowledged and not answered for ANSWER_WITHIN_S |
| the reader/writer, path idle or busy | server | no beat, and the kernel says that it is stopped: STOPPED_MOST_S |
| the host's agent or disk process | host | likewise |
| the host's machine, or its network | server | keepalive and TCP_USER_TIMEOUT: USER_TIMEOUT_S |
| a host that takes no answers (full window) | server | TCP_USER_TIMEOUT counts full windows too |
| the server process | host | CONFIG_ANSWER_WITHIN_S; but while the paths speak, they go on |

What must never be taken for silence: a drive that takes long. The reader/writer that waits for it neither beats nor
answers, and then neither reads, so that the host's window may fill. Therefore a busy path has no limit for answers but
ANSWER_MOST_S, a host's data socket has no TCP_USER_TIMEOUT (which would count the full window, however alive the peer's
kernel is) but looks itself whether the peer's kernel answers, and nobody is killed who sits in a system call.

Why not shorter: three seconds are four retransmissions of TCP in a building and two over 300 ms of round trip, and no
scheduler keeps a process waiting for so long. Whoever is taken for gone wrongly loses a connection and makes a new one.
"""

FOUND_WITHIN_S = 5.0
"""The promise: from the last sign of life to the end of the path."""

LOOK_EVERY_S = 0.5
"""How often everybody looks."""

PING_EVERY_S = 1.0
"""0x02: so long after the last word of an idle path, and so often on the configuration socket, it is asked whether the
other end is there. 0x01 has no ping."""

ANSWER_WITHIN_S = 3.0
"""A ping on an idle path waits for nothing at the other end: a reader/writer that does not answer it is not at work."""

UNANSWERED_MOST_S = 3.0
"""The peer's kernel owes an acknowledgement and has sent nothing for so long: its machine or the network is gone."""

ANSWER_MOST_S = 60.0
"""A request is on the wire, the peer's kernel acknowledges, and no answer comes: longer than a drive's own patience.
What else it may be, something between us that acknowledges for a dead server, is found by nothing else."""

CONFIG_ANSWER_WITHIN_S = 4.0
"""The configuration socket's pings; the server process has one loop for everything and may be held up by a disk."""

KEEPALIVE_IDLE_S = 1
KEEPALIVE_EVERY_S = 1
KEEPALIVE_PROBES = 3
USER_TIMEOUT_S = 4
"""The kernel's own times, on every TCP socket of ours but the host's data sockets, which have no TCP_USER_TIMEOUT.
Longer than UNANSWERED_MOST_S: where both ends lose each other the host decides first, and is not cut off meanwhile."""

CONNECT_WITHIN_S = 2.0
"""For the connection alone: a second try of TCP's own is in it. The server may have other addresses."""

MISSED_AFTER_S = 2.0
"""Our processes beat once a second: after this a beat was missed, and the parent asks the kernel what they do."""

STOPPED_MOST_S = 3.0
"""A process of ours has not beaten for so long, and is stopped (SIGSTOP, a debugger): it is killed."""

SPINNING_MOST_S = 10.0
"""It has used so much of a processor, in its own code, without a beat: it turns in a circle. Processor seconds, so that
a busy machine accuses nobody."""

CHILD_SILENT_MOST_S = 30.0
"""An agent or a disk process has not beaten for so long, whatever it does: nothing of theirs waits for a drive."""


def in_force(**names: str) -> list[dict[str, str | float]]:
    """Give rows for `nsu status`: for each constant of this file, which is the keyword, its name for people."""
    return [
        {"name": name, "value_s": globals()[constant], "source": f"protocol/timers.py {constant}"}
        for constant, name in names.items()
    ]


def assert_that_they_fit() -> None:
    """Each time with its neighbours: raises AssertionError at the import when one was changed and its neighbour not."""
    # A path is given up within the promise, whoever finds it; and a look may be one LOOK_EVERY_S late.
    assert PING_EVERY_S + ANSWER_WITHIN_S + LOOK_EVERY_S < FOUND_WITHIN_S
    assert UNANSWERED_MOST_S + 2 * LOOK_EVERY_S < FOUND_WITHIN_S
    assert STOPPED_MOST_S + 2 * LOOK_EVERY_S < FOUND_WITHIN_S
    assert CONFIG_ANSWER_WITHIN_S + LOOK_EVERY_S < FOUND_WITHIN_S
    assert KEEPALIVE_IDLE_S + KEEPALIVE_EVERY_S * KEEPALIVE_PROBES <= USER_TIMEOUT_S < FOUND_WITHIN_S
    # Two pings at least go unanswered before anybody is given up, and each has had time to be answered.
    assert LOOK_EVERY_S < PING_EVERY_S < min(ANSWER_WITHIN_S, CONFIG_ANSWER_WITHIN_S / 2)
    # The kernel's question is out, and has been repeated, before its silence is judged.
    assert KEEPALIVE_IDLE_S + KEEPALIVE_EVERY_S < UNANSWERED_MOST_S
    # The host decides before the server's kernel does, and the kernel's word is better than that of an application.
    assert UNANSWERED_MOST_S + 2 * LOOK_EVERY_S <= USER_TIMEOUT_S <= CONFIG_ANSWER_WITHIN_S
    # Who is only slow is not taken for one who is gone.
    assert 1.0 + LOOK_EVERY_S < MISSED_AFTER_S < STOPPED_MOST_S
    assert FOUND_WITHIN_S < SPINNING_MOST_S < CHILD_SILENT_MOST_S < ANSWER_MOST_S
    assert 1.0 < CONNECT_WITHIN_S < FOUND_WITHIN_S


assert_that_they_fit()
