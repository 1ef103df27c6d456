"""Where our proxies behave otherwise than the standard library's on purpose, and why.

Each is shown by the body of the same name in ``test_differences.py``, which fails as soon as the
two behave alike.
"""

DIFFERENCES = {
    "creation_errors": (
        "what a constructor raises is raised itself; the standard library wraps its text into a "
        "RemoteError"
    ),
    "iteration_is_a_snapshot": (
        "an iterator walks over one moment: a list that grows meanwhile does not prolong it, a "
        "dict that changes does not break it"
    ),
    "iterating_a_proxy_argument": (
        "a proxy of a dict or a set is a good iterable argument; in the standard library's server, "
        "as in its children, iterating one fails, and hangs in a constructor"
    ),
    "arguments_need_not_be_picklable": (
        "generators, dict views and sort keys are used in the caller; only what is stored is "
        "pickled"
    ),
    "a_failed_update_changes_nothing": "update and extend are all or nothing",
    "a_failed_sort_changes_nothing": "a sort that raises leaves the order as it was",
    "equal_bytes_are_one_key": (
        "a key whose class compares by identity is found again by an equal pickle; a pickled "
        "object never is the same object"
    ),
    "a_class_that_replaces_equality": (
        "a key that overrides the equality of str, int and the like is refused: the server cannot "
        "call its __eq__; __multihost_key__ says what it equals"
    ),
    "unhashable_keys_of_an_empty_dict": (
        "pop raises TypeError for what cannot be a key; that of an empty dict does not look at it"
    ),
    "a_proxy_is_no_key": (
        "proxies compare by identity, so that no other process could find the key"
    ),
    "sets_take_proxies_in_place": (
        "s |= other and s <= other take the proxy of a set; a builtin set takes only sets"
    ),
    "namespace_own_methods": "_name, _delete and _statistics are ours",
    "namespace_empty_name": (
        "setattr(ns, '', x) works; the standard library stumbles over the missing first letter"
    ),
    "generic_aliases": "DictProxy[str, int] and the like are typing's aliases, on every Python",
    "extra_methods": (
        "name, delete(), statistics(), increment(), add(), holder() and fencing_token are ours, as "
        "are release(n) and locked() of semaphores"
    ),
    "wrong_arguments": (
        "a wrong number of arguments is a TypeError in the words of a function written in Python"
    ),
    "classes_of_locks": (
        "LockProxy, RLockProxy, SemaphoreProxy and BoundedSemaphoreProxy are classes of their own, "
        "below AcquirerProxy: their methods differ"
    ),
    "a_dead_holder": (
        "locks and the permits of bounded semaphores are given back when their holder ends; there, "
        "nobody gets them ever again"
    ),
    "condition_with_an_rlock": (
        "a condition works with the RLock that it was given; there, it cannot see who owns it"
    ),
    "the_action_of_a_barrier": (
        "it runs in the process of the last one to arrive; there, in the server, which knows "
        "nothing of the program"
    ),
    "timeouts_are_checked_first": (
        "a timeout that is no number, or too large, is refused at once; there, only when somebody "
        "has to wait"
    ),
}
