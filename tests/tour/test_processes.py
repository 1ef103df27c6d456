"""The tour, last part: pools, executors, and objects of classes of your own."""

from __future__ import annotations

import os

from multihost import Executor, Pool
from multihost.managers import BaseManager


def square(number):
    return number * number


def test_a_pool_maps_over_its_workers(url):
    with Pool(2, url=url) as pool:
        assert pool.map(square, range(5)) == [0, 1, 4, 9, 16]
        pool.close()
        pool.join()


def test_an_executor_returns_futures(url):
    with Executor(2, url=url) as executor:
        future = executor.submit(square, 3)
        assert future.result() == 9
        assert list(executor.map(square, [1, 2])) == [1, 4]


class Counter:
    def __init__(self):
        self.number = 0

    def add(self, amount):
        self.number += amount
        return self.number

    def pid(self):
        return os.getpid()


class CounterManager(BaseManager):
    """A manager that hosts counters."""


CounterManager.register("Counter", Counter)


def test_an_object_of_your_own_class_lives_in_the_process_of_the_manager():
    with CounterManager() as manager:
        counter = manager.Counter()
        assert counter.add(2) == 2
        assert counter.add(3) == 5
        assert counter.pid() != os.getpid()
