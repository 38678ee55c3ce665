"""Network block storage over many TCP sockets: the parts put together, nsu.conf, the supervisor, the command line."""

__version__ = "0.1.0"
