"""Drives: files and block devices, one kind per file behind the contract of `base.py`."""
