"""Measures: a file each; see `run.py` for what they have to offer."""
