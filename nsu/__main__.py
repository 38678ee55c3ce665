"""The command `nsu`, and `python -m nsu`: settle which twin of the hot modules runs, then the command line."""

from nsu.compiled import use_compiled


def main() -> None:
    """Run the command line."""
    use_compiled()
    from nsu.cli import main as command_line  # not before: it imports hot modules

    command_line()


if __name__ == "__main__":
    main()
