"""The programs of the standard library's documentation, with the import changed."""

from __future__ import annotations

import os
import socket

from tests.support.procs import ROOT, spawn_script
from tests.support.waiting import PATIENCE


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_programs_print_the_same():
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    said = []
    for module in ("multiprocessing", "multihost"):
        args = [module, str(free_port())]
        with spawn_script(
            ROOT / "tests" / "hosted" / "documented.py", {"PYTHONPATH": path}, args=args
        ) as program:
            said.append(program.finish(timeout=PATIENCE))
    assert said[0] == said[1]
    assert "-- own_proxies" in said[0]
