"""A small Linux in one thread: processes, pipes, TCP, files and a clock, all seeded; see docs/decisions/0008."""
