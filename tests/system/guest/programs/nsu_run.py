"""`nsu run`, with every disk shown by the kernel's NBD client.

The kernel sends requests again after 3 s, not 30, so that nobody waits for what a killed process had on the wire.
"""

from pathlib import Path

from hostside.frontends.base import Driver
from hostside.frontends.nbd_kernel import NbdKernelFrontend
from hostside.frontends.open import FRONTENDS
from ipc.loop import Loop
from nsu.cli import main


def attach(loop: Loop, driver: Driver, at: Path, name: str) -> NbdKernelFrontend:
    return NbdKernelFrontend(loop, driver, at, name, timeout_s=3)


FRONTENDS["socket"] = FRONTENDS["nbd"] = attach
main()
