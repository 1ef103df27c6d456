"""An application for Celery whose shared objects are made when it is imported."""

import os

from celery import Celery

from multihost import RedisManager

app = Celery("jobs", broker=os.environ["MULTIHOST_TEST_BROKER"])
app.conf.broker_connection_retry_on_startup = True
manager = RedisManager(os.environ["MULTIHOST_TEST_FRAMEWORKS"])
lock, counts = manager.Lock("lock"), manager.dict("counts")
box, answers = manager.Queue("box"), manager.Queue("answers")


@app.task(name="answer")
def answer():
    for _ in range(5):
        with lock:
            counts["n"] = counts.get("n", 0) + 1
    own = manager.list([1])
    own.append(2)
    assert own[:] == [1, 2]
    answers.put(box.get(timeout=30))
