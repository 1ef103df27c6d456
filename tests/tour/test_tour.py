"""The tour, first part: dicts, lists, sets, values and arrays; one idea in each test."""

from __future__ import annotations

import array
import multiprocessing
import os
import pickle
import subprocess
import sys
from multiprocessing import Pool, Process

import pytest

import multihost
from multihost import Manager, ObjectGone, RedisManager
from tests.support.procs import ROOT


def double(d, i):
    d[i] = i * 2


def test_one_import_changes_and_the_program_stays():
    # Before: from multiprocessing import Manager
    with Manager() as manager:
        d = manager.dict()
        workers = [Process(target=double, args=(d, i)) for i in range(10)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert sorted(d.items()) == [(i, i * 2) for i in range(10)]


def test_a_namespace_shares_its_attributes():
    with Manager() as manager:
        ns = manager.Namespace()
        ns.x = 10
        ns.y = "hello"
        ns._z = 12.3  # a name with an underscore stays with this proxy
        assert str(ns) == "Namespace(x=10, y='hello')"


def test_a_name_makes_it_the_same_object_for_every_program(url):
    program = """
from multihost import RedisManager
results = RedisManager().dict("results")   # the server of MULTIHOST_URL
results["from another program"] = 42
"""
    with RedisManager(url) as manager:
        results = manager.dict("results")
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "MULTIHOST_URL": url, "PYTHONPATH": str(ROOT / "src")},
            check=True,
        )
        assert results["from another program"] == 42


def test_a_named_object_is_created_once_and_kept_until_it_is_deleted(url):
    with RedisManager(url) as manager:
        manager.list("jobs", ["first"])
    with RedisManager(url) as manager:
        jobs = manager.list("jobs", ["not used: it exists"])
        assert jobs[:] == ["first"]
        assert manager.names() == ["jobs"]
        manager.delete("jobs")
        with pytest.raises(ObjectGone):
            jobs.append("second")


def test_an_object_without_a_name_lives_while_somebody_holds_it(url):
    with RedisManager(url) as manager:
        numbers = manager.list([1, 2])
        assert manager.names() == []
        luggage = pickle.dumps(numbers)  # plain pickle; nothing secret is inside
        arrived = pickle.loads(luggage)
        arrived.append(3)
        assert numbers[:] == [1, 2, 3]


def test_a_list_a_set_a_value_and_an_array():
    with Manager() as manager:
        letters = manager.list("hello")
        letters.sort()
        letters[1:3] = ["X"]
        assert letters[:] == ["e", "X", "l", "o"]

        seen = manager.set({1, 2})
        seen |= {2, 3}
        assert seen & {3, 4} == {3}

        hits = manager.Value("i", 0)
        hits.value = 5
        assert hits.get() == 5

        samples = manager.Array("d", [0.5, 1.5])
        samples[0] = 2.5
        assert samples[:] == array.array("d", [2.5, 1.5])


def test_who_is_first_gets_the_job(url):
    with RedisManager(url) as manager, RedisManager(url) as elsewhere:
        assert manager.dict("claims").add_new("job 1", "me")
        assert not elsewhere.dict("claims").add_new("job 1", "you")
        assert manager.set("seen").update_new(["a", "b"]) == ["a", "b"]
        assert elsewhere.set("seen").update_new(["b", "c"]) == ["c"]


def count(d, hits):
    for _ in range(100):
        d.increment("calls")
        hits.add(1)


def test_counting_together_loses_nothing():
    with Manager() as manager:
        d, hits = manager.dict(), manager.Value("i", 0)
        workers = [Process(target=count, args=(d, hits)) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert (d["calls"], hits.value) == (400, 400)


def test_what_is_read_is_a_copy_and_what_is_stored_may_be_shared():
    with Manager() as manager:
        d = manager.dict(plain=[1])
        d["plain"].append(2)  # changes the copy that was just read
        assert d["plain"] == [1]
        d["shared"] = manager.list([1])
        d["shared"].append(2)
        assert d["shared"][:] == [1, 2]


def test_containers_nest_to_any_depth(url):
    with RedisManager(url) as manager:
        tree = manager.dict("tree", root=manager.dict(leaves=manager.list(["a"])))
        tree["root"]["leaves"].append("b")
        tree["root"]["up"] = tree
    # The named one keeps everything in it, also when all programs have ended.
    with RedisManager(url) as manager:
        tree = manager.dict("tree")
        assert tree["root"]["up"]["root"]["leaves"][:] == ["a", "b"]


def keys_of(d):
    return list(d), [value for value in d.values()]  # noqa: C416


def test_a_pool_of_spawned_workers_iterates_what_it_is_given():
    with Manager() as manager:
        d = manager.dict(a=1, b=2)
        with multiprocessing.get_context("spawn").Pool(2) as pool:
            answers = pool.map(keys_of, [d, d])
            pool.close()
            pool.join()
        assert answers == [(["a", "b"], [1, 2])] * 2


def test_equal_keys_meet_as_in_a_dict():
    with Manager() as manager:
        d = manager.dict({1: "int"})
        d[1.0] = "float"
        d[True] = "bool"
        assert d.copy() == {1: "bool"}


def test_with_a_key_nothing_is_read_that_others_wrote(url):
    with (
        RedisManager(url, authkey=b"the key that is ours") as ours,
        RedisManager(url) as others,
    ):
        secret = ours.list("secret", ["signed"])
        assert secret[0] == "signed"
        with pytest.raises(multihost.BadPayload):
            others.list("secret")


def test_json_lets_programs_in_other_languages_read(url):
    with RedisManager(url, serializer="json") as manager:
        settings = manager.dict("settings", {"colour": [1, 2, 3]})
        assert settings["colour"] == [1, 2, 3]
        with pytest.raises(TypeError):
            settings["bytes"] = b"not JSON"


def test_statistics_say_what_an_object_takes(url):
    with RedisManager(url, lease=30.0) as manager:
        d = manager.dict("d", dict.fromkeys(range(100)))
        assert d.statistics().length == 100
        assert d.statistics().lease is None  # it has a name: it is kept
        assert 0 < manager.dict().statistics().lease <= 90.0  # a reserve of a minute included


def square(number):
    return number * number


def test_the_rest_of_multiprocessing_stays_what_it_is():
    with Manager() as manager, Pool(2) as pool:
        squares = manager.list(pool.map(square, range(4)))
        pool.close()
        pool.join()
        assert squares[:] == [0, 1, 4, 9]
