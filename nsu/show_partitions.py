"""`nsu partition list` for people, at 80 columns."""

from typing import Any

from rich.console import Console
from rich.text import Text

from nsu.partitions.words import size_words
from nsu.show import add_row, plain_table


def show_partitions(console: Console, found: dict[str, Any]) -> None:
    """Print a table of the partitions, and a line for each array."""
    table = plain_table("partitions", "partition", "size", "hosts", "LBA")
    for each in found["partitions"]:
        lba = f"{each['array']}({each['first_lba']},{each['last_lba']})"
        add_row(table, each["name"], size_words(each["blocks"]), host_words(each), lba)
    console.print(table)
    for array in found["arrays"]:
        console.print(Text(free_words(array)))


def host_words(partition: dict[str, Any]) -> str:
    """Say who has it, with which rights, and who uses it now."""
    words = []
    for use in partition["uses"]:
        name = use["host"] if use["unit"] == partition["name"] else f"{use['host']} (as {use['unit']})"
        in_use = ", in use" if use["host"] in partition["in_use_by"] else ""
        words.append(f"{name} {use['access']}{in_use}")
    return "\n".join(words) or "nobody"


def free_words(array: dict[str, Any]) -> str:
    """Say what of an array is free."""
    if array["free"] is None:
        return f"{array['name']}: how large it is, only a running NSU knows"
    pieces = [piece["blocks"] for piece in array["free"]]
    if not pieces:
        return f"{array['name']}: {size_words(array['blocks'])}, nothing is free"
    total = f"{array['name']}: {size_words(array['blocks'])}, {size_words(sum(pieces))} free"
    return total if len(pieces) == 1 else f"{total} in {len(pieces)} pieces, the largest {size_words(max(pieces))}"
