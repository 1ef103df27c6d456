"""Where our proxies deviate from the objects that CPython's tests are about: test and reason.

A listed test that passes fails the run.
"""

KNOWN_DIFFERENCES = {
    # Iterating: over the elements of one moment.
    "TestList::test_exhausted_iterator": "an iterator does not see what is appended later",
    "TestList::test_free_after_iterating": "an iterator keeps the elements, not the proxy",
    "TestSet::test_free_after_iterating": "an iterator keeps the members, not the proxy",
    # What is stored is a copy.
    "TestList::test_remove": "its last lines ask for the identical object; all before them passes",
    "TestHashMapping::test_setdefault": "to append to what setdefault returns changes nothing",
    "TestMapping::test_setdefault": "to append to what setdefault returns changes nothing",
    "TestSet::test_cyclical_repr": "a member that is changed after it was stored stays as it was",
    "TestSet::test_deepcopy": "a deep copy is the plain value; __deepcopy__ of members never runs",
    "TestSet::test_pickling": "attributes that are set on a proxy stay with that proxy",
    # Keys and members are equal when their canonical bytes are.
    "TestSet::test_badcmp": "__eq__ of members never runs, so that it cannot raise",
    "TestSet::test_do_not_rehash_dict_keys": "__hash__ runs, to refuse what has none",
    "TestList::test_contains_order": "'in' finds equal bytes at once and asks nobody before them",
    # As the standard library's proxies.
    "TestHashMapping::test_copy": "copy() is a plain dict",
    "TestHashMapping::test_fromkeys": "fromkeys is a method of the object, with a plain result",
    "TestMapping::test_fromkeys": "fromkeys is a method of the object, with a plain result",
    "TestBarrier::test_repr": "repr() shows the proxy",
    "TestBoundedSemaphore::test_repr": "repr() shows the proxy",
    "TestEvent::test_repr": "repr() shows the proxy",
    "TestLock::test_locked_repr": "repr() shows the proxy",
    "TestLock::test_repr": "repr() shows the proxy",
    "TestRLock::test_locked_repr": "repr() shows the proxy",
    "TestRLock::test_repr": "repr() shows the proxy",
    "TestRLock::test_repr_count": "repr() shows the proxy",
    "TestSemaphore::test_repr": "repr() shows the proxy",
    # What a queue was made with, and what is in it.
    "TestJoinableQueue::test_shrinking_queue": "the size was agreed on by all who use it",
    "TestLifoQueue::test_shrinking_queue": "the size was agreed on by all who use it",
    "TestPriorityQueue::test_shrinking_queue": "the size was agreed on by all who use it",
    "TestQueue::test_shrinking_queue": "the size was agreed on by all who use it",
    "TestSimpleQueue::test_references": "its items are of a local class, which is not pickled",
    # What threading does within one process.
    "TestEvent::test_at_fork_reinit": "there is no condition of threading within an event",
    "TestLock::test_at_fork_reinit": "a forked child shares the lock, and must not make it anew",
    "TestRLock::test_recursion_count": "_recursion_count() is for threading's own modules",
}

# Of executors, with each way to start processes.
EXECUTORS = {
    "TestExecutorDeadlock{}::test_error_at_task_unpickle": "the result of the task, not the end",
    "TestExecutorDeadlock{}::test_error_during_result_unpickle_in_result_handler": (
        "the result of the task, not the end"
    ),
    "TestExecutorDeadlock{}::test_exit_at_task_unpickle": "the result of the task, not the end",
    "TestExecutorDeadlock{}::test_exit_during_result_unpickle_in_result_handler": (
        "the result of the task, not the end"
    ),
    "TestProcessPoolExecutor{}::test_killed_child": (
        "its last line expects that submit() refuses; a killed worker is replaced"
    ),
    "TestProcessPoolExecutor{}::test_python_finalization_error": "it counts the threads inside",
}
KNOWN_DIFFERENCES |= {
    listed.format(method): reason
    for listed, reason in EXECUTORS.items()
    for method in ("Fork", "Spawn")
}
KNOWN_DIFFERENCES |= {
    # All workers are started at once, with every method.
    "TestProcessPoolExecutorSpawn::test_idle_process_reuse_multiple": "no start as needed",
    "TestProcessPoolExecutorSpawn::test_idle_process_reuse_one": "no start as needed",
    "TestProcessPoolShutdownSpawn::test_processes_terminate": "no start as needed",
    "TestProcessPoolShutdownSpawn::test_cancel_futures": (
        "no task counts as running before a worker has begun it: all are cancelled"
    ),
}

# Tests that only newer releases of Python have.
NOT_EVERYWHERE = {
    "TestRLock::test_repr_count",
    "TestProcessPoolExecutorFork::test_python_finalization_error",
    "TestProcessPoolExecutorSpawn::test_python_finalization_error",
}
