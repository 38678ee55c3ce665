"""The language on the wire, pure: bytes in, events out. It knows no socket, file, clock or process."""
