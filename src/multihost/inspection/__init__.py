"""The objects on a server, the health of the server, and the garbage on it.

Nothing here creates a proxy, holds a lease or takes part: reading changes nothing. Functions that
remove something say so.
"""

from __future__ import annotations

from multihost.inspection.activity import Activity, Monitor
from multihost.inspection.connect import opened, server_time
from multihost.inspection.contents import preview
from multihost.inspection.findings import Finding
from multihost.inspection.garbage import KINDS as GARBAGE_KINDS
from multihost.inspection.garbage import Garbage, find_garbage, remove
from multihost.inspection.health import examine
from multihost.inspection.objects import delete, find, names, objects, typeids_in_use
from multihost.inspection.records import ObjectInfo, Participant, QueueInfo

__all__ = [
    "GARBAGE_KINDS",
    "Activity",
    "Finding",
    "Garbage",
    "Monitor",
    "ObjectInfo",
    "Participant",
    "QueueInfo",
    "delete",
    "examine",
    "find",
    "find_garbage",
    "names",
    "objects",
    "opened",
    "preview",
    "remove",
    "server_time",
    "typeids_in_use",
]
