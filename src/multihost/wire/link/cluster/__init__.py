"""Connections to a cluster: several servers, each of which has the keys of some partitions."""
