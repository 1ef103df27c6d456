"""Locks and the like beyond what the standard library has."""
