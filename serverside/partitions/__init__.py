"""Partitions: LBA ranges of arrays, as hosts get them."""
