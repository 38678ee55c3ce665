"""A whole small machine of the test's own, with Debian's kernel: for what only another kernel can prove.

QEMU runs it, by software emulation, so that neither KVM nor any right is needed. It boots from memory: `Initramfs`
packs busybox, other programs with their libraries, Python with exactly the modules that a program imports, and the
kernel modules in the order in which they depend on each other. `Guest` is the running machine, whose console is read
line by line; `power_cut` is SIGKILL of QEMU.
"""

from tests.system.guest.initramfs import Initramfs
from tests.system.guest.kernel import Kernel, debian_kernel
from tests.system.guest.machine import Guest

__all__ = ["Guest", "Initramfs", "Kernel", "debian_kernel"]
