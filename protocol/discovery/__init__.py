"""How an NSU is found by whoever knows nothing of it: one frame, over Ethernet or in a UDP datagram."""
