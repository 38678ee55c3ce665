"""The process `nsu: web`: pages, REST and /metrics.

It asks the other processes at their control sockets, as `nsu status` does, and changes nsu.conf through the engine that
the command line uses. It holds no drive, no port of the data and no counter of the data path: killed, it takes nothing
with it.
"""
