"""What one process has on one server, and how other processes see that it lives."""

from multihost.wire.session.session import Handle, Hold, Session

__all__ = ["Handle", "Hold", "Session"]
