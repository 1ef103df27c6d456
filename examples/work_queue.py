"""A work queue with a progress bar; one worker is killed, and another one does its job again.

Two processes stand for two hosts. On two machines, with a server that both of them reach:

    python work_queue.py work redis://server:6379/0     # on each, until Ctrl-C
    python work_queue.py fill redis://server:6379/0     # on any

The bar needs rich (pip install 'multihost[examples]'); where output is no terminal there is none.
"""

import contextlib
import hashlib
import os
import signal
import socket
import sys
from multiprocessing import Process

from multihost import Manager, RedisManager, ShutDown

JOBS = 20
FATAL = 7  # the job in the middle of which a worker is killed


def queues(manager):
    return manager.JoinableQueue("jobs", redeliver=True), manager.Queue("reports")


def work(host, jobs, reports, fatal=None):
    with contextlib.suppress(ShutDown, KeyboardInterrupt):
        while True:
            job = jobs.get()
            if job == fatal and jobs.deliveries == 1:
                reports.put((host, job, None))
                signal.pause()  # takes long: until it is killed
            hashlib.pbkdf2_hmac("sha256", b"%d" % job, b"salt", 50_000)
            reports.put((host, job, jobs.deliveries))
            jobs.task_done()


@contextlib.contextmanager
def progress(total):
    """Give what shows a line, and how many more jobs are done."""
    if not sys.stdout.isatty():
        yield lambda line, _: print(line, flush=True)
        return
    from rich.progress import Progress

    with Progress() as shown:
        task = shown.add_task("jobs", total=total)

        def step(line, done):
            shown.console.print(line)
            shown.advance(task, done)

        yield step


def follow(jobs, reports, workers):
    """Show what is reported, until all jobs are done."""
    done: set[int] = set()
    with progress(JOBS) as step:
        while len(done) < JOBS:
            host, job, deliveries = reports.get()
            if deliveries is None:
                os.kill(workers[host].pid, signal.SIGKILL)
                step(f"{host} is killed in the middle of job {job}", 0)
                continue
            times = "" if deliveries == 1 else f", deliveries == {deliveries}"
            step(f"{host} has done job {job}{times}", job not in done)
            done.add(job)
    jobs.join()
    print(f"{len(done)} jobs are done")


def main():
    with Manager() as manager:
        jobs, reports = queues(manager)
        workers = {
            host: Process(target=work, args=(host, jobs, reports, FATAL))
            for host in ("host a", "host b")
        }
        for worker in workers.values():
            worker.start()
        jobs.put_many(range(JOBS))
        follow(jobs, reports, workers)
        jobs.shutdown()
        for worker in workers.values():
            worker.join()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        main()
    else:
        with RedisManager(sys.argv[2]) as manager:
            jobs, reports = queues(manager)
            if sys.argv[1] == "work":
                work(socket.gethostname(), jobs, reports)
            else:
                jobs.put_many(range(JOBS))
                follow(jobs, reports, {})
