"""Pools: functions that run in worker processes, here or on any host.

Client and worker meet at a queue of tasks (:mod:`multihost.wire.ops.pool`). ``core`` is the pool
that users hold, on top of ``client``, which sends tasks and hears of results; ``loop`` is what a
worker process does, ``crew`` keeps some of them alive, ``worker`` keeps them alive for a named pool
from outside. Nothing is imported here: workers do not need what clients need.
"""
