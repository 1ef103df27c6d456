"""Pools: functions that run in worker processes, on this host or any other.

Clients and workers share a queue of tasks (:mod:`multihost.wire.ops.pool`). ``shared_pool`` is the
pool that users have, ``client`` sends its tasks and receives their results, and ``handlers`` are
its threads. ``worker_loop`` is what a worker process does; ``supervisor`` starts and replaces such
processes, and ``pool_workers`` runs them for a named pool from outside. Nothing is imported here:
workers do not need what clients need.
"""
