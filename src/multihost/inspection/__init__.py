"""What is on a server, how well the server does, and what nobody needs any more.

Nothing here creates a proxy, holds a lease or takes part: looking changes nothing. What removes
something says so.
"""

from __future__ import annotations

from multihost.inspection.activity import Activity, activity
from multihost.inspection.connect import HOUR, opened, server_time
from multihost.inspection.contents import preview
from multihost.inspection.garbage import KINDS as GARBAGE_KINDS
from multihost.inspection.garbage import Garbage, find_garbage, remove
from multihost.inspection.health import Finding, examine
from multihost.inspection.objects import ObjectInfo, QueueInfo, Who, delete, find, objects, queue_of

__all__ = [
    "GARBAGE_KINDS",
    "HOUR",
    "Activity",
    "Finding",
    "Garbage",
    "ObjectInfo",
    "QueueInfo",
    "Who",
    "activity",
    "delete",
    "examine",
    "find",
    "find_garbage",
    "objects",
    "opened",
    "preview",
    "queue_of",
    "remove",
    "server_time",
]
