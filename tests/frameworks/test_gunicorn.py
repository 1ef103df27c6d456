"""gunicorn with its kinds of workers: each request uses objects that were made at import."""

from __future__ import annotations

import signal
import socket
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed

import pytest

from multihost import RedisManager
from tests.frameworks.conftest import need
from tests.support.procs import ROOT, Script, is_alive, send_signal
from tests.support.server import Server
from tests.support.waiting import wait_until

REQUESTS = 24
AT_ONCE = 8
WORKERS = {
    "sync": ["-k", "sync"],
    "gthread": ["-k", "gthread", "--threads", "8"],
    "gevent": ["-k", "gevent"],
    "gevent, patched before": ["-k", "gevent", "-c", "python:tests.frameworks.patched"],
}


def _get(port: int) -> tuple[int, int]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=40) as reply:
        pid, item = reply.read().split()
    return int(pid), int(item)


def _load(port: int, manager: RedisManager) -> set[int]:
    """Have all requests answered, each by an item of its own; return the pids of the workers.

    The requests wait for items, which come one at a time: each has to wake somebody.
    """
    box = manager.Queue("box")
    with ThreadPoolExecutor(AT_ONCE) as threads:
        futures = [threads.submit(_get, port) for _ in range(REQUESTS)]
        done = as_completed(futures)
        for item in range(REQUESTS):
            box.put(item)
            next(done)
    answers = [each.result() for each in futures]
    assert sorted(item for _, item in answers) == list(range(REQUESTS))
    return {pid for pid, _ in answers}


def _listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("preload", [False, True], ids=["", "preload"])
@pytest.mark.parametrize("kind", WORKERS)
def test_every_request_is_answered(
    kind: str, preload: bool, port: int, fresh_server: Server, start: Callable[..., Script]
) -> None:
    need("gunicorn", *(["gevent"] if "gevent" in kind else []))
    options = ["-w", "2", "-b", f"127.0.0.1:{port}", "--chdir", str(ROOT), *WORKERS[kind]]
    args = [*options, *(["--preload"] if preload else []), "tests.frameworks.web:app"]
    manager = RedisManager(fresh_server.url)
    gunicorn = start("gunicorn", args, {"MULTIHOST_TEST_FRAMEWORKS": fresh_server.url})
    wait_until(lambda: _listens(port), 20)

    before = _load(port, manager)
    assert send_signal(gunicorn, signal.SIGHUP)
    wait_until(lambda: not any(map(is_alive, before)), 20, "new workers")
    assert not before & _load(port, manager)
    assert manager.dict("counts")["n"] == 2 * 5 * REQUESTS

    assert send_signal(gunicorn, signal.SIGTERM)
    gunicorn.finish()
    assert "Traceback" not in gunicorn.stderr
    manager.shutdown()
