"""Calls to objects in the memory of a process: requests, replies, references."""
