"""The recipe by which the hot modules become machine code: for wheels, and for `make fast` (tools/compile.py).

All else that setuptools is to know stands in setup.cfg. Without a compiler, Python's headers or mypyc, or when one of
them fails, the package is plain and does the same. Editable installs are plain: `make fast` is for them.
"""

import os
import shutil
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))

from nsu.compiled import HOT, source_of  # noqa: E402 - found by the line above


def why_not() -> str:
    """Say what is missing to make machine code; empty: nothing."""
    compiler = (os.environ.get("CC") or str(sysconfig.get_config_var("CC"))).split()[0]
    if shutil.which(compiler) is None:
        return f"there is no C compiler ({compiler})"
    if not (Path(sysconfig.get_path("include")) / "Python.h").exists():
        return "there is no Python.h (Debian: python3-dev)"
    try:
        import mypyc.build  # noqa: F401 - to see whether it is there
    except ImportError:
        return "there is no mypyc (pip install mypy)"
    return ""


def extensions() -> list[Extension]:
    """Translate the hot modules to C, when machine code is asked for.

    Types are checked as far as the code needs them; whether they are right is the business of `make check`.
    """
    if not {"bdist_wheel", "build_ext"} & set(sys.argv):
        return []
    missing = why_not()
    if not missing:
        from mypyc.build import mypycify

        files = [str(source_of(name).relative_to(ROOT)) for name in HOT]
        flags = ["--config-file=", "--ignore-missing-imports", "--cache-dir=build/mypyc/cache"]
        try:
            return mypycify([*flags, *files], opt_level="2", debug_level="0", target_dir="build/mypyc")
        except SystemExit as error:
            missing = f"mypyc failed ({error})"
    stay_plain(missing)
    return []


def stay_plain(why: str) -> None:
    """Say it in one line; it is no error."""
    print(f"nsu: no machine code is made, all goes on plain: {why}", file=sys.stderr)


class AllOrNone(build_ext):
    """Of code that shares one library some is worse than none."""

    def run(self) -> None:
        """Compile all, or leave nothing behind."""
        try:
            super().run()
        except Exception as error:  # noqa: BLE001 - whatever a compiler can do wrong, an installation goes on
            for output in self.get_outputs():
                Path(output).unlink(missing_ok=True)
            self.extensions = []
            stay_plain(str(error))


setup(ext_modules=extensions(), cmdclass={"build_ext": AllOrNone}, options={"build_ext": {"parallel": 2}})
