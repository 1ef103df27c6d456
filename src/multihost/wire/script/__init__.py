"""Lua scripts with a checked header, run exactly once."""

from multihost.wire.script.script import Script, Target

__all__ = ["Script", "Target"]
