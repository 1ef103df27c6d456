"""An application for gunicorn whose shared objects are made when it is imported."""

import os

from multihost import RedisManager

manager = RedisManager(os.environ["MULTIHOST_TEST_FRAMEWORKS"])
lock, counts, box = manager.Lock("lock"), manager.dict("counts"), manager.Queue("box")


def app(environ, start_response):
    for _ in range(5):
        with lock:
            counts["n"] = counts.get("n", 0) + 1
    own = manager.list([1])
    own.append(2)
    assert own[:] == [1, 2]
    item = box.get(timeout=30)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{os.getpid()} {item}".encode()]
