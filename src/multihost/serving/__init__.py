"""Processes that host objects in their memory and answer calls to them."""
