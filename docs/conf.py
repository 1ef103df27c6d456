"""How Sphinx builds these pages: ``make docs``. Every warning is an error."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "_ext"))

project = "multihost"
author = "The multihost authors"
version = release = metadata.version("multihost")

extensions = ["myst_parser", "sphinx.ext.autodoc", "commands", "docstrings", "stdlib_links"]
exclude_patterns = ["_ext"]
nitpicky = True
nitpick_ignore_regex = [
    # Type variables, and the types of what users never make themselves.
    (r"py:.*", r"(.*\.)?(T|K|V|A|D|R|P)"),
    (r"py:.*", r"multihost\.wire\..*|registry\.Origin|Handle|Entries"),
    (r"py:.*", r"(.*\.)?(EventKind|NativesOn|PoolOptions|Registered|Runtime|RuntimeOwner)"),
]

myst_enable_extensions = ["attrs_inline", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
add_module_names = False

html_theme = "furo"
html_title = "multihost"
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True}
