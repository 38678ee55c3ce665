"""The host role: what runs on a machine that uses disks, and the Python API to use them."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hostside.client import Disk, open_disk

__all__ = ["Disk", "open_disk"]


def __getattr__(name: str) -> Any:
    """Import the API when somebody uses it: who reads a setting here needs no NBD client (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__} has no {name}")
    from hostside import client

    return getattr(client, name)
