"""The server driver: the one process of an array that owns what its SRWs share."""
