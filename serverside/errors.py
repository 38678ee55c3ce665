"""What the server role raises at its start, each a sentence for the administrator.

Exception
├─ SettingsError     nsu.conf asks for what can't be done: change nsu.conf
├─ StateError        a file in STATE is damaged or not ours: repair it; it is never overwritten
└─ DriveError        a drive refused, at its opening or for one request (serverside/drives/base.py)
"""


class SettingsError(Exception):
    """The settings ask for something that these drives or this version can't give."""


class StateError(Exception):
    """A file in the STATE folder can't be trusted."""
