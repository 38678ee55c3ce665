"""Arrays: drives joined, one level per file behind the contract of `base.py`."""
