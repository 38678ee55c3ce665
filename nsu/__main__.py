"""`python -m nsu`: the same as the command `nsu`."""

from nsu.cli import main

main()
