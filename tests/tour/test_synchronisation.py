"""The tour, second part: locks, semaphores, conditions, events and barriers."""

from __future__ import annotations

import os
import signal
from multiprocessing import Process
from threading import Thread

import pytest

from multihost import Manager, RedisManager


def add_slowly(lock, total):
    for _ in range(25):
        with lock:
            total.value = total.value + 1  # a read and a write: two calls


def test_a_lock_lets_one_process_in_at_a_time():
    with Manager() as manager:
        lock, total = manager.Lock(), manager.Value("i", 0)
        workers = [Process(target=add_slowly, args=(lock, total)) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert total.value == 100


def test_an_rlock_can_be_acquired_again_by_its_holder():
    with Manager() as manager:
        lock = manager.RLock()
        with lock:
            assert lock.acquire(blocking=False)
            lock.release()
            assert lock.locked()
        assert not lock.locked()


def test_a_semaphore_lets_a_number_of_processes_in():
    with Manager() as manager:
        semaphore = manager.Semaphore(2)
        assert semaphore.acquire()
        assert semaphore.acquire()
        assert not semaphore.acquire(blocking=False)
        semaphore.release()
        assert semaphore.acquire(blocking=False)


def test_a_bounded_semaphore_refuses_a_release_too_many():
    with Manager() as manager:
        semaphore = manager.BoundedSemaphore(1)
        with semaphore:
            pass
        with pytest.raises(ValueError, match="too many"):
            semaphore.release()


def fill(condition, basket):
    with condition:
        basket.append("apple")
        condition.notify()


def test_a_condition_waits_until_something_is_true():
    with Manager() as manager:
        condition, basket = manager.Condition(), manager.list()
        with condition:
            worker = Process(target=fill, args=(condition, basket))
            worker.start()
            condition.wait_for(lambda: len(basket) > 0)  # releases the lock while it waits
            assert basket.pop() == "apple"
        worker.join()


def wait_and_report(start, reports):
    start.wait()
    reports.append("started")


def test_an_event_starts_all_who_wait_for_it():
    with Manager() as manager:
        start, reports = manager.Event(), manager.list()
        workers = [Process(target=wait_and_report, args=(start, reports)) for _ in range(3)]
        for worker in workers:
            worker.start()
        assert reports[:] == []
        start.set()
        for worker in workers:
            worker.join()
        assert reports[:] == ["started"] * 3


def prepare_and_meet(prepared, barrier, seen):
    prepared.append("one more")
    barrier.wait()
    seen.append(len(prepared))


def test_a_barrier_waits_until_everyone_is_there():
    with Manager() as manager:
        prepared, seen, barrier = manager.list(), manager.list(), manager.Barrier(3)
        workers = [
            Process(target=prepare_and_meet, args=(prepared, barrier, seen)) for _ in range(3)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert seen[:] == [3, 3, 3]


def acquire_and_hang(lock, acquired):
    lock.acquire()
    acquired.set()
    signal.pause()


def test_a_lock_is_free_again_when_its_holder_is_killed():
    with Manager() as manager:
        lock, acquired = manager.Lock(), manager.Event()
        holder = Process(target=acquire_and_hang, args=(lock, acquired))
        holder.start()
        acquired.wait()
        assert lock.holder().pid == holder.pid
        os.kill(holder.pid, signal.SIGKILL)  # kill -9: it cannot release anything
        holder.join()
        assert lock.acquire(timeout=30)  # takes about a second
        lock.release()


def test_two_managers_on_one_server_share_what_has_the_same_name(url):
    with RedisManager(url) as ours, RedisManager(url) as theirs:
        lock, same_lock = ours.Lock("printer"), theirs.Lock("printer")
        with lock:
            assert not same_lock.acquire(blocking=False)
            waiter = Thread(target=same_lock.acquire)
            waiter.start()
        waiter.join()  # the release woke it
        assert lock.locked()
