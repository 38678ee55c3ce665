"""The server role: drives, arrays, partitions, and the processes that serve them to hosts."""
