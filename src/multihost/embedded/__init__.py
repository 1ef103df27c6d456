"""A private server for ``Manager()``: it is found, started, and ends with the process that owns it.

Only the standard library and ``errors`` are used here, and of the standard library neither
``subprocess`` nor ``tempfile``: each takes longer to import than a server takes to start.
"""

from multihost.embedded.find import find_server
from multihost.embedded.server import EmbeddedServer

__all__ = ["EmbeddedServer", "find_server"]
