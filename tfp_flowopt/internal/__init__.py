"""Helpers that every package may use; not public."""

__all__ = []
