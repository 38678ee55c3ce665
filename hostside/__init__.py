"""The host role: what runs on a machine that uses disks, and the Python API to use them."""

from hostside.client import Disk, open_disk

__all__ = ["Disk", "open_disk"]
