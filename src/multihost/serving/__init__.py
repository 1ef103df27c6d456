"""Processes that have objects in their memory, and answer calls to them."""
