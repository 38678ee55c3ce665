"""An order of set-up is carried out: all of it, or nothing.

  1. the interface gets the addresses
  2. the administrator gets his password
  3. nsu.conf gets name, LISTEN and INTERFACE, by the ways of every change: checked, atomic, in the history, in force
  4. the machine is marked as claimed: from here on it is done

What fails takes back what was done before it, and its sentence is the answer. After a crash between the steps the
machine is unclaimed, and the same order can be given again.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from ipc.link_socket import mac_text
from nsu.conf.edit import add_block, add_key, find, remove_key, rename_block
from nsu.conf.errors import ChangeRefused, ConfErrors
from nsu.conf.syntax import Document, same_kind
from nsu.conf.values import NAME, ValueWrong
from nsu.history import BY_HAND, HistoryBusyError
from nsu.partitions.apply import apply, ground
from nsu.partitions.errors import Refused
from nsu.partitions.plan import plan
from nsu.say import say
from nsu.web.passwords import Users
from nsu.web.roles import role_of
from nsu.web.store import StoreError
from protocol.setup.order import Order, Result
from serverside.addresses import add_address, remove_address
from serverside.claim import mark_claimed
from serverside.interface_address import AddressError, read_interface_address

ADMINISTER = "administer"
WRONG = (AddressError, StoreError, ConfErrors, ChangeRefused, HistoryBusyError, ValueWrong, OSError)


def carry_out(order: Order, heard_on: str, admin_mac: bytes, *, conf_path: Path, state_dir: Path) -> Result:
    """Do it. `heard_on`: the interface on which it came."""
    interface = order.interface or heard_on
    who = f"{mac_text(admin_mac)} (nsu configure)"
    try:
        addresses = [read_interface_address(text).with_prefixlen for text in order.addresses]
        if order.name:
            NAME.read(order.name)
        with ExitStack() as undo:
            put_addresses(undo, interface, addresses)
            if order.admin:
                put_admin(undo, state_dir, order)
            change_conf(undo, conf_path, lambda text: new_text(text, order.name, interface, addresses), who)
            record = {"claimed_at": time.time(), "by": mac_text(admin_mac), "on": heard_on, "name": order.name}
            record |= {"interface": interface, "addresses": addresses, "admin": order.admin}
            mark_claimed(state_dir, record)
            undo.pop_all()
    except WRONG as error:
        return Result(False, sentence_of(error))
    return Result(True, f"{interface} has {', '.join(addresses)}")


def put_addresses(undo: ExitStack, interface: str, addresses: Sequence[str]) -> None:
    """Raises AddressError."""
    for address in addresses:
        if add_address(interface, address):
            undo.callback(taken_back, partial(remove_address, interface, address))


def put_admin(undo: ExitStack, state_dir: Path, order: Order) -> None:
    """Make the first administrator. Raises StoreError."""
    users = Users(state_dir)
    former = users.store.rows().get(order.admin)

    def restore() -> None:
        with users.store.change() as rows:
            rows.pop(order.admin, None)
            if former is not None:
                rows[order.admin] = former

    users.put(order.admin, order.password, role_of(ADMINISTER))
    undo.callback(taken_back, restore)


def change_conf(undo: ExitStack, conf_path: Path, make: Callable[[str], str], who: str) -> None:
    """Save it and have it in force. Raises ConfErrors, ChangeRefused, OSError."""
    at = ground(conf_path)
    found = plan(at.base, make(at.base), at.facts, path=conf_path)
    apply(found, at, who=who, when_s=time.time())

    def restore() -> None:
        now = ground(conf_path)
        apply(plan(now.base, at.base, now.facts, path=conf_path), now, who=BY_HAND, when_s=time.time(), force=True)

    undo.callback(taken_back, restore)


def new_text(text: str, name: str, interface: str, addresses: Sequence[str]) -> str:
    """Give nsu.conf with the name of the NSU, LISTEN for the addresses, and the INTERFACE block that keeps them."""
    document = Document(text)
    nsus = same_kind(document.blocks, "NSU")
    if not nsus:
        machines = same_kind(document.blocks, "MACHINE")
        label = f"NSU {name or (machines[0].name if machines else 'nsu')}"
        document = add_block(document, (), label, ())
    elif name and nsus[0].name != name:
        document = rename_block(document, (nsus[0].label,), name)
    nsu = same_kind(document.blocks, "NSU")[0].label
    for address in addresses:
        numeric = str(read_interface_address(address).ip)
        if all((entry.key, entry.value) != ("LISTEN", numeric) for entry in find(document, (nsu,)).entries):
            document = add_key(document, (nsu,), "LISTEN", numeric)
    return with_interface(document, f"INTERFACE {interface}", addresses).text


def with_interface(document: Document, label: str, addresses: Sequence[str]) -> Document:
    """Give it with this INTERFACE block, which has these addresses and no others."""
    if label not in (block.label for block in document.blocks):
        return add_block(document, (), label, [("ADDRESS", address) for address in addresses])
    if any(entry.key == "ADDRESS" for entry in find(document, (label,)).entries):
        document = remove_key(document, (label,), "ADDRESS")
    for address in addresses:
        document = add_key(document, (label,), "ADDRESS", address)
    return document


def taken_back(undo: Callable[[], object]) -> None:
    """Undo one step; what can't be undone is told, and keeps the others from nothing."""
    try:
        undo()
    except WRONG as error:
        say(f"nsu: setup: a set-up that failed could not be taken back whole: {sentence_of(error)}")


def sentence_of(error: BaseException) -> str:
    if isinstance(error, Refused):
        return "; ".join(error.sentences)
    if isinstance(error, OSError):
        return f"{error.filename or 'STATE'}: {error.strerror}"
    return str(error)
