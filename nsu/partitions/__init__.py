"""Partitions as an administrator sees them: verbs on the text of nsu.conf, plans, and how a plan comes into force.

    text ── view ── verbs ──> new text ── plan (with facts of who runs) ──> apply ──> nsu.conf, history, running server

The command line, REST and the pages all go this one way. Everything but facts.py and apply.py is pure.
"""
