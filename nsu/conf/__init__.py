"""nsu.conf: read, checked, changed and saved.

    text ── lines ── syntax ──┬── load (keys, values, reader, server_role, host_role, sharing) ──> frozen settings
                              └── edit ── save ──> text

Below `nsu/`, code gets the settings, never the file.
"""
