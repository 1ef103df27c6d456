"""Warnings to the program that uses the library."""

from __future__ import annotations

import warnings

__all__ = ["caution"]


def caution(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the line of the program that called, whatever frames of this package are between."""
    import inspect  # slow, and seldom needed

    level, frame = 1, inspect.currentframe()
    while frame and frame.f_globals.get("__name__", "").partition(".")[0] == "multihost":
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
