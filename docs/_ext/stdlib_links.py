"""Links to the standard library's documentation, without asking the network for what is in it.

A name counts if this interpreter has it; a name that it has not is a broken link, and an error.
"""

from __future__ import annotations

import builtins
import importlib
import sys
from typing import Any

from docutils import nodes

# Where a module's names are described, if not on a page called like the module.
PAGES = {"multiprocessing.managers": "multiprocessing", "multiprocessing.pool": "multiprocessing"}
BUILTINS = {"functions": (), "exceptions": (BaseException,)}


def _url(target: str) -> str | None:
    parts = target.split(".")
    if hasattr(builtins, parts[0]):
        found = getattr(builtins, parts[0])
        if isinstance(found, type) and issubclass(found, BaseException):
            page = "exceptions"
        elif isinstance(found, type) and found.__name__ in vars(builtins):
            page = "stdtypes" if len(parts) > 1 or found in (dict, list, set, str) else "functions"
        else:
            page = "constants" if found in (None, True, False) else "functions"
        return f"{page}.html#{target}"
    for length in range(len(parts), 0, -1):
        module = ".".join(parts[:length])
        if parts[0] not in sys.stdlib_module_names:
            return None
        try:
            found = importlib.import_module(module)
        except ImportError:
            continue
        for part in parts[length:]:
            if not hasattr(found, part):
                return None
            found = getattr(found, part)
        page = PAGES.get(module, module)
        return f"{page}.html#{target if parts[length:] else f'module-{module}'}"
    return None


def _resolve(app: Any, env: Any, node: Any, content: nodes.Node) -> nodes.Node | None:
    del app, env
    if node.get("refdomain") != "py":
        return None
    url = _url(node["reftarget"].removeprefix("typing_extensions."))
    if url is None:
        return None
    address = f"https://docs.python.org/3/library/{url}"
    link = nodes.reference("", "", refuri=address, internal=False)
    link += content
    return link


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("missing-reference", _resolve)
    return {"parallel_read_safe": True}
