"""Version 0x02: proven on both sides, pipelined, checked."""
