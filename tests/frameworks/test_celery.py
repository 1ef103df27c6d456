"""Celery with its kinds of pools: each task uses objects that were made at import."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from tests.frameworks.conftest import need
from tests.support.procs import ROOT, Script, send_signal, spawn_script
from tests.support.server import Server

TASKS = 24

# The tasks wait for items, which come one at a time: each has to wake somebody.
CLIENT = """
import sys
from tests.frameworks.jobs import answer, answers, box, counts

count = int(sys.argv[1])
for _ in range(count):
    answer.delay()
for item in range(count):
    box.put(item)
    assert answers.get(timeout=40) == item
print(counts["n"])
"""


@pytest.mark.parametrize("pool", ["prefork", "threads", "gevent"])
def test_every_task_is_done(pool: str, fresh_server: Server, start: Callable[..., Script]) -> None:
    need("celery", *(["gevent"] if pool == "gevent" else []))
    env = {
        "MULTIHOST_TEST_BROKER": fresh_server.tcp_url,
        "MULTIHOST_TEST_FRAMEWORKS": fresh_server.url,
    }
    options = ["--pool", pool, "--concurrency", "4", "--loglevel", "WARNING"]
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    app = ["--app", "tests.frameworks.jobs", "--workdir", str(ROOT)]
    worker = start("celery", [*app, "worker", *options, *quiet], env)
    source = f"import sys; sys.path.insert(0, {str(ROOT)!r}){CLIENT}"
    with spawn_script(source, env, args=[str(TASKS)]) as client:
        assert client.finish() == f"{5 * TASKS}\n"
    assert send_signal(worker, signal.SIGTERM)
    worker.finish()
    assert "Traceback" not in worker.stderr
