"""`make fast`: machine code of the hot modules, for exactly the sources as they are now (nsu/compiled.py says which).

It takes about a minute, and nothing when it is there already. What was made of other sources is removed. Where it can't
be made that is said in a line, and no error: all goes on plain.
"""

import shutil
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from nsu.compiled import BUILT, ROOT, digest, machine_code_in


def main() -> int:
    """Give the exit status."""
    name = digest()
    if not (BUILT / name).is_dir():
        started_s = time.monotonic()
        BUILT.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=BUILT.parent) as fresh:
            made = build(Path(fresh))
            if not made:
                return 0
            if digest() != name:
                print("the sources were changed meanwhile: once more, please", file=sys.stderr)
                return 1
            (Path(fresh) / "lib").rename(BUILT / name)
        print(f"{made} files of machine code made in {time.monotonic() - started_s:.0f} s")
    for older in BUILT.iterdir():
        if older.name != name:
            shutil.rmtree(older)
    return 0


def build(folder: Path) -> int:
    """Have setup.py make it in `folder`/lib; give how many files there are."""
    places = ["--build-lib", str(folder / "lib"), "--build-temp", str(folder / "temp")]
    subprocess.run([sys.executable, "setup.py", "--quiet", "build_ext", *places], cwd=ROOT, check=True)
    return len(machine_code_in(folder / "lib"))


if __name__ == "__main__":
    sys.exit(main())
