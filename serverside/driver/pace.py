"""When an array's own work (rebuild, scrub) gets its next step, so that users hardly feel it. Pure: no clock here.

  * While nobody asks for anything, step follows step. A pause of users is a pause only after QUIET_S: whoever waits for
    one answer before it asks the next leaves gaps of microseconds, and with a step in each it had one request a step.
  * While users are busy, a step is followed by REST_SHARE times its own duration, REST_LEAST_S at least, for users
    alone: the work has a fifth of the time at most, however slow the drives are, and always goes on.

A step is bounded (`serverside/redundancy/mending.py`), so nobody waits longer than one.
"""

QUIET_S = 0.02
REST_LEAST_S = 0.05
REST_SHARE = 4


class Pace:
    """Times in seconds, of any one clock."""

    def __init__(self) -> None:
        self._used_s = -QUIET_S
        self._rest_until_s = 0.0

    def used(self, now_s: float) -> None:
        """A user has asked for something."""
        self._used_s = now_s

    def tended(self, began_s: float, ended_s: float) -> None:
        """A step was done."""
        self._rest_until_s = ended_s + max(REST_LEAST_S, REST_SHARE * (ended_s - began_s))

    def wait_s(self, now_s: float) -> float:
        """Give how long to wait for users yet; 0: the next step may be done."""
        return max(0.0, min(self._used_s + QUIET_S, self._rest_until_s) - now_s)
