"""The command line."""

from __future__ import annotations

from multihost.cli.main import commands, run

__all__ = ["commands", "run"]
