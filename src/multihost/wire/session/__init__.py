"""What one process has on one server, and how other processes see that it lives."""

from multihost.wire.session.handle import Handle, Hold
from multihost.wire.session.session import RpcClient, Session

__all__ = ["Handle", "Hold", "RpcClient", "Session"]
