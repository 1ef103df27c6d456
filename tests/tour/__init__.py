"""A tour of multihost: one idea in each test."""
