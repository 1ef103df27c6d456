"""Our classes are those of the standard library, with nothing in them that would not work here."""

from __future__ import annotations

import array
import multiprocessing
import queue
import threading
from multiprocessing import managers

import pytest

import multihost.managers
from multihost.managers import BaseManager, BaseProxy, RedisManager, SyncManager

ARGUMENTS = {"Array": ("i", [1]), "Barrier": (2,), "Value": ("i", 1)}
# What they have of the standard library: what `object` has, and what only its own code looks at.
INHERITED = {"__builtins__", "__dict__", "__weakref__", "_address_to_local", "_mutex"}


def proxy(manager, typeid):
    return getattr(manager, typeid)(*ARGUMENTS.get(typeid, ()))


@pytest.mark.parametrize("typeid", sorted(SyncManager._native_types))
def test_every_proxy_is_one_of_the_standard_library(embedded, typeid):
    _, _, _, theirs = managers.SyncManager._registry.get(typeid, (None, None, None, None))
    ours = proxy(embedded, typeid)
    assert isinstance(ours, managers.BaseProxy)
    assert isinstance(ours, theirs if isinstance(theirs, type) else managers.BaseProxy)


def test_managers_are_those_of_the_standard_library(embedded):
    assert isinstance(embedded, managers.SyncManager)
    assert issubclass(BaseManager, managers.BaseManager)
    assert issubclass(RedisManager, managers.SyncManager)


def test_the_state_of_a_manager():
    manager, state = SyncManager(), managers.State
    assert (manager._state.value, manager._address) == (state.INITIAL, None)
    with manager:
        assert (manager._state.value, manager._address) == (state.STARTED, manager.address)
    assert manager._state.value == state.SHUTDOWN


def classes():
    every = {getattr(multihost.managers, name) for name in multihost.managers.__all__}
    proxies = {cls for cls in every if isinstance(cls, type) and issubclass(cls, BaseProxy)}
    return sorted({BaseManager, SyncManager, RedisManager, *proxies}, key=lambda cls: cls.__name__)


@pytest.mark.parametrize("cls", classes(), ids=lambda cls: cls.__name__)
def test_nothing_of_the_standard_library_is_left_that_would_not_work(cls):
    def definer(name):
        return next(base for base in cls.__mro__ if name in vars(base))

    theirs = {
        name
        for name in dir(cls)
        if hasattr(cls, name) and definer(name).__module__ == "multiprocessing.managers"
    }
    assert theirs <= INHERITED


THEIRS = {
    "Array": (array.array("i"), None),
    "Barrier": (threading.Barrier(2), multiprocessing.Barrier),
    "BoundedSemaphore": (threading.BoundedSemaphore(), multiprocessing.BoundedSemaphore),
    "Condition": (threading.Condition(), multiprocessing.Condition),
    "Event": (threading.Event(), multiprocessing.Event),
    "JoinableQueue": (queue.Queue(), multiprocessing.JoinableQueue),
    "LifoQueue": (queue.LifoQueue(), None),
    "Lock": (threading.Lock(), multiprocessing.Lock),
    "PriorityQueue": (queue.PriorityQueue(), None),
    "Queue": (queue.Queue(), multiprocessing.Queue),
    "RLock": (threading.RLock(), multiprocessing.RLock),
    "Semaphore": (threading.Semaphore(), multiprocessing.Semaphore),
    "SimpleQueue": (queue.SimpleQueue(), multiprocessing.SimpleQueue),
    "Value": (managers.Value("i", 1), multiprocessing.Value),
}
# Of these ours mean the same: what a condition of `threading` calls, and the lock of a condition.
SAME = {"_acquire_restore", "_is_owned", "_release_save", "_lock"}


@pytest.mark.parametrize("typeid", sorted(THEIRS))
def test_no_private_name_is_one_that_programs_look_for(embedded, typeid):
    referent, make = THEIRS[typeid]
    there = set(dir(referent))
    if make is not None:
        there |= set(dir(make(*ARGUMENTS.get(typeid, ()))))
    ours = proxy(embedded, typeid)
    names = {n for n in dir(ours) if n[:1] == "_" and n[:2] != "__" and hasattr(ours, n)}
    assert names & there <= SAME


@pytest.mark.parametrize("typeid", ["Semaphore", "BoundedSemaphore"])
def test_a_semaphore_has_no_value(embedded, typeid):
    with pytest.raises(AttributeError):
        print(proxy(embedded, typeid)._value)
