"""Processes and what runs between them; knows nothing of blocks, hosts or servers.

`loop` is the one event loop; `packets` and `buffers` carry work between processes; `counters` are written by
one process and read by all; `child` forks and reaps; `supervision` decides, purely, what is forked and killed
next; `control` answers people.
"""
