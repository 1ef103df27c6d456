"""Many processes log to one place: QueueHandler there, QueueListener here, a named queue between.

On other hosts RedisManager(url).Queue("log") is the same queue.
"""

import logging
import sys
from logging.handlers import QueueHandler, QueueListener
from multiprocessing import Process

from multihost import Manager


def work(number, records):
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    root.addHandler(QueueHandler(records))
    log = logging.getLogger(f"worker.{number}")
    for step in range(3):
        log.info("step %d", step)
    try:
        number / (number - 2)
    except ZeroDivisionError:
        log.exception("worker %d has failed", number)


if __name__ == "__main__":
    with Manager() as manager:
        records = manager.Queue("log")
        output = logging.StreamHandler(sys.stdout)
        output.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        workers = [Process(target=work, args=(number, records)) for number in range(4)]
        for worker in workers:
            worker.start()
        listener = QueueListener(records, output)
        listener.start()
        for worker in workers:
            worker.join()
        listener.stop()  # when all that they have put is written
        print("everything is written")
