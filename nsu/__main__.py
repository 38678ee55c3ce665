"""The command `nsu`, and `python -m nsu`: settle which twin of the hot modules runs, then the command line."""

from ipc.prctl import keep_out_of_dumps
from nsu.compiled import use_compiled


def main() -> None:
    """Run the command line."""
    use_compiled()
    keep_out_of_dumps()  # most verbs read keys, and every process of `nsu run` is forked from here
    from nsu.cli import main as command_line  # not before: it imports hot modules

    command_line()


if __name__ == "__main__":
    main()
