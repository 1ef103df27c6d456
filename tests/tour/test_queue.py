"""The tour, third part: queues."""

from __future__ import annotations

import os
import queue
import signal
from multiprocessing import Process

import pytest

import multihost
from multihost import Manager, RedisManager


def multiply(jobs, results):
    while (job := jobs.get()) is not None:  # waits until there is one
        results.put(job * 10)


def test_a_queue_hands_each_item_to_one_process():
    with Manager() as manager:
        jobs, results = manager.Queue(), manager.Queue()
        workers = [Process(target=multiply, args=(jobs, results)) for _ in range(2)]
        for worker in workers:
            worker.start()
        for job in [1, 2, 3, None, None]:
            jobs.put(job)
        for worker in workers:
            worker.join()
        assert sorted(results.get() for _ in range(3)) == [10, 20, 30]
        with pytest.raises(queue.Empty):
            results.get_nowait()


def get_and_hang(jobs, started):
    jobs.get()
    started.set()
    signal.pause()


def test_a_joinable_queue_delivers_again_what_was_not_done(url):
    with RedisManager(url) as manager:
        jobs, started = manager.JoinableQueue(redeliver=True), manager.Event()
        jobs.put("important")
        worker = Process(target=get_and_hang, args=(jobs, started))
        worker.start()
        started.wait()
        os.kill(worker.pid, signal.SIGKILL)  # before it called task_done()
        worker.join()
        assert jobs.get(timeout=30) == "important"
        assert jobs.deliveries == 2
        jobs.task_done()
        jobs.join()  # returns: everything is done


class Unreadable:
    """Its class is missing where it is read, or so it seems."""

    def __reduce__(self):
        return __import__, ("no_such_module",)


def test_an_item_that_cannot_be_unpickled_is_put_aside(url):
    with RedisManager(url) as manager:
        jobs = manager.Queue()
        jobs.put_many(["a", Unreadable(), "b"])
        assert jobs.get_many(3) == ["a", "b"]
        (letter,) = jobs.dead_letters()
        assert isinstance(letter, multihost.BadPayload)


def test_a_queue_is_reopened_for_the_next_run(url):
    with RedisManager(url) as manager:
        jobs = manager.Queue()
        jobs.shutdown()
        with pytest.raises(multihost.ShutDown):
            jobs.get()
        jobs.reopen()
        jobs.put("next")
        assert jobs.get() == "next"


def test_a_lifo_queue_gives_the_newest_item_first(url):
    with RedisManager(url) as manager:
        stack = manager.LifoQueue()
        stack.put("old")
        stack.put("new")
        assert [stack.get(), stack.get()] == ["new", "old"]


def test_a_priority_queue_gives_the_smallest_item_first(url):
    with RedisManager(url) as manager:
        tasks = manager.PriorityQueue()
        for task in [(2, "eat"), (1, "cook"), (3, "wash up")]:
            tasks.put(task)
        assert [tasks.get()[1] for _ in range(3)] == ["cook", "eat", "wash up"]


def test_a_simple_queue_has_no_size_and_counts_no_tasks(url):
    with RedisManager(url) as manager:
        letters = manager.SimpleQueue()
        letters.put("a")
        assert letters.get() == "a"
        assert letters.empty()
        assert not hasattr(letters, "task_done")
