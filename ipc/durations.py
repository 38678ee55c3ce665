"""Spans of time in words for people, the same in every sentence and table."""

STEPS = ((1.0, "s"), (60.0, "min"), (3600.0, "h"), (86400.0, "d"))
"""(seconds of one, its name)"""


def duration(seconds: float) -> str:
    """Give a span in the largest unit of which there are two: 95 s, 3 min, 47 h, 3 d."""
    size_s, name = next((step for step in reversed(STEPS) if seconds >= 2 * step[0]), STEPS[0])
    return f"{int(seconds / size_s)} {name}"
