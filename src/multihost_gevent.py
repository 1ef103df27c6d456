"""What gevent calls when a program patches the standard library (``gevent.monkey.patch_all()``).

A module beside the package: gevent loads it in every program of an environment, whether or not that
uses the package, and a program should not pay for what it does not use.
"""

from __future__ import annotations

import sys
from types import ModuleType

__all__ = ["did_patch", "will_patch"]


def _patching() -> ModuleType | None:
    return sys.modules.get("multihost.patching")  # None: there is nothing yet to be made anew


def will_patch(_event: object) -> None:
    """Called before the library is patched: end threads."""
    if (patching := _patching()) is not None:
        patching.before_patch()


def did_patch(_event: object) -> None:
    """Called afterwards: make anew what threads, locks and sockets were made before."""
    if (patching := _patching()) is not None:
        patching.after_patch()
