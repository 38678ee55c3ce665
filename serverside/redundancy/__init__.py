"""Redundant arrays below their level: superblock, journal, members, and the machine that one owner runs."""
