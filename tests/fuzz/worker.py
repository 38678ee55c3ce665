"""One target in a process of its own, guided by coverage: the one door to atheris. Started by run.py.

`python -m tests.fuzz.worker TARGET FLAG…`: the flags are libFuzzer's.
"""

import sys

import atheris

from tests.fuzz.targets import PARSERS, target


def main() -> None:
    name, *flags = sys.argv[1:]
    with atheris.instrument_imports(include=list(PARSERS)):
        chosen = target(name)
    atheris.Setup([sys.argv[0], *flags], chosen.one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
