"""Docstrings as they are written in multihost, for Sphinx.

A label in bold (``**Cost**``) begins a paragraph, and the bare name of one of our exceptions is a
link. Of named tuples only the signature is shown, of proxies none: no user makes one. A public name
without an entry is an error.
"""

from __future__ import annotations

import importlib
import re
from typing import Any

from sphinx.util import logging

import multihost
from multihost import errors
from multihost.managers import BaseProxy

logger = logging.getLogger(__name__)

MODULES = ("multihost", "multihost.managers", "multihost.pool")
LABEL = re.compile(r"\s*\*\*[A-Z][^*]*\*\*")
# What is code already, or else a name.
NAMES = re.compile(rf"``.*?``|:\w+:`.*?`|(?<![\w.])(?P<error>{'|'.join(errors.__all__)})(?![\w(])")


def _link(match: re.Match[str]) -> str:
    if not match["error"]:
        return match[0]
    place = multihost if hasattr(multihost, match["error"]) else errors
    return f":exc:`~{place.__name__}.{match['error']}`"


def _shape(_app: Any, _what: str, _name: str, _obj: Any, _options: Any, lines: list[str]) -> None:
    shaped: list[str] = []
    in_session = False
    for line in lines:
        in_session = line.lstrip().startswith(">>>") or (in_session and bool(line.strip()))
        if LABEL.match(line) and shaped and shaped[-1].strip():
            shaped.append("")
        literal = in_session or line.startswith("  ")
        shaped.append(line if literal else NAMES.sub(_link, line))
    lines[:] = shaped


def _signature(_app: Any, what: str, _name: str, obj: Any, *_: Any) -> tuple[str, None] | None:
    if what == "class" and isinstance(obj, type) and issubclass(obj, BaseProxy):
        return "", None
    return None


def _skip(_app: Any, _what: str, _name: str, obj: Any, *_: Any) -> bool | None:
    return True if "Alias for field number" in (getattr(obj, "__doc__", "") or "") else None


def _check_complete(_app: Any, env: Any) -> None:
    documented = env.domains.python_domain.objects
    for module in map(importlib.import_module, MODULES):
        for name in module.__all__:
            obj = getattr(module, name)
            if not obj.__module__.startswith("multihost"):
                continue  # the standard library's own, which describes it
            names = {f"{module.__name__}.{name}", f"{obj.__module__}.{obj.__qualname__}"}
            if not names & documented.keys():
                logger.warning("%s.%s has no entry in docs/reference.md", module.__name__, name)


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", _shape)
    app.connect("autodoc-process-signature", _signature)
    app.connect("autodoc-skip-member", _skip)
    app.connect("env-check-consistency", _check_complete)
    return {"parallel_read_safe": True}
