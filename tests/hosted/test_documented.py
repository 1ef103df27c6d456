"""The programs of the standard library's documentation, with the import changed."""

from __future__ import annotations

import os

from tests.support.procs import ROOT, spawn_script


def test_programs_print_the_same(port):
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    said = []
    for module in ("multiprocessing", "multihost"):
        args = [module, str(port)]
        with spawn_script(
            ROOT / "tests" / "hosted" / "documented.py", {"PYTHONPATH": path}, args=args
        ) as program:
            said.append(program.finish())
    assert said[0] == said[1]
    assert "-- own_proxies" in said[0]
