"""Version 0x01: the patent's, to the byte. Never edited once it stands."""
