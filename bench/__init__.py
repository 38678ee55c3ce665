"""Benchmarks: this project beside its peers, on one machine in one run (bench/README.md).

Machine code runs where it was made (`make fast`); NSU_PLAIN=1 has the plain twin measured.
"""

import sys

from nsu.compiled import use_compiled

if "pytest" not in sys.modules:  # there the plain twins are imported already
    use_compiled()
