"""Sizes in words for people, the same in every sentence and table."""


def size(count_bytes: float) -> str:
    """Give a size of four digits: 1.5 GiB."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB", "PiB"):
        digits = f"{count_bytes:.4g}"
        if float(digits) < 1024:
            return f"{digits} {unit}"
        count_bytes /= 1024
    return f"{count_bytes:.4g} EiB"
