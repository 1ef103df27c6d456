"""Whatever breaks, and wherever: a call that changes something happens once, and answers right.

Each case runs undisturbed first. Then the connection is broken at each of its requests in turn, and
what it leaves on the server must be the same to the byte.
"""

from __future__ import annotations

import collections
import contextlib
import gc
import itertools
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest

from multihost import ObjectGone, RedisManager
from multihost.proxies.base import BaseProxy, Token
from multihost.proxies.dict import DictProxy
from multihost.wire.identity import named, new_unnamed
from multihost.wire.keys import PARTITIONS, partition
from multihost.wire.script import Script, header, source
from multihost.wire.script import staged as staged_module
from multihost.wire.session import references
from tests.faults import sync
from tests.faults.cases import BULK, CASES, INTERLOPERS, Case, Scene, labels, shown
from tests.support.faults import CuttingProxy, Rule
from tests.support.waiting import PATIENCE, wait_until

SECONDS = PATIENCE
BY_NAME = {case.name: case for case in CASES}
BULK_BY_NAME = {case.name: case for case in BULK}
_namespaces = itertools.count()

FAULTS: dict[str, Callable[[CuttingProxy, int], Rule]] = {
    "reply lost": lambda proxy, nth: proxy.cut_after_reply(nth=nth),
    "reply torn": lambda proxy, nth: proxy.cut_mid_reply(nth=nth),
    "request lost": lambda proxy, nth: proxy.cut_before_request(nth=nth),
}


# One of each kind, for what depends on the way to the server and not on the call.
FEW = [
    "dict setitem new",
    "dict increment",
    "dict popitem",
    "list append",
    "list pop",
    "list sort",
    "list remove",
    "set pop",
    "Value add",
    "create dict",
    "holding dict setitem overwrite",
]

READ = {
    "hash": ("HGETALL",),
    "zset": ("ZRANGE", 0, -1, "WITHSCORES"),
    "list": ("LRANGE", 0, -1),
    "set": ("SMEMBERS",),
    "string": ("GET",),
}


# -- running a case


@contextlib.contextmanager
def staging(case: Case, url: str, server: Any, **options: Any) -> Iterator[Callable[[], Scene]]:
    """Make scenes of a case, one after the other, in a namespace of their own."""
    if not options:
        options = {"url": url}
    namespace = f"multihost-{next(_namespaces):06d}"
    # All of them are kept: what the background thread sends to drop objects would be counted.
    scenes = []

    def scene() -> Scene:
        keys = [key for key in server.keys(f"{{{namespace}:*") if b"}:r:" not in key]
        if keys:
            server.command("UNLINK", *keys)
        scenes.append(Scene(manager))
        case.make(scenes[-1])
        return scenes[-1]

    with (
        mock.patch.object(references, "new_unnamed", _idents_apart()),
        RedisManager(
            **options,
            namespace=namespace,
            authkey=case.authkey,
            serializer=case.serializer,  # type: ignore[arg-type]
        ) as manager,
    ):
        yield scene


def _idents_apart() -> Callable[[str], str]:
    """Make idents each of which is in another partition than those of the last sixty, and than the
    names of the cases: objects that happen to share one need a request less.
    """
    names = {partition(named(name)) for name in ("c", "obj", "other")}
    turn = itertools.cycle(sorted(set(range(PARTITIONS)) - names))

    def make(maker: str) -> str:
        number = next(turn)
        while partition(ident := new_unnamed(maker)) != number:
            pass
        return ident

    return make


@contextlib.contextmanager
def staged(case: Case, url: str, server: Any) -> Iterator[Scene]:
    """One scene."""
    with staging(case, url, server) as scene:
        yield scene()


PASSING = re.compile(rb"r:|(kept|cut|tops|partial|held|epoch|lists|leases|collector)$")
"""Keys that differ from run to run."""


def left(server: Any, scene: Scene) -> dict[str, Any]:
    """Everything in the scene's namespace but the records, and when something was held or cut, with
    labels in place of identities.
    """
    namespace = scene.manager.runtime.settings.namespace
    renamed = {proxy._token.ident.encode(): label for label, proxy in labels(scene).items()}
    renamed[namespace.encode()] = "multihost-......"  # as long as a namespace: pickles count

    def plain(thing: Any) -> Any:
        if isinstance(thing, bytes):
            for ident, label in renamed.items():
                thing = thing.replace(ident, label.encode())
            # A signature depends on what was signed, and so on random identities.
            return re.sub(rb"S2.{16}", b"S2", thing, flags=re.DOTALL)
        return [plain(item) for item in thing] if isinstance(thing, list) else thing

    tails = {key: key.partition(b"}:")[2] for key in server.keys(f"{{{namespace}:*")}
    noted = collections.defaultdict(list)  # of all partitions, which identities choose
    for key, tail in tails.items():
        if tail in (b"kept", b"cut"):
            noted[tail] += plain(server.command("ZRANGE", key, 0, -1))
        elif tail in (b"tops", b"partial"):
            noted[tail] += plain(server.command("SMEMBERS", key))
    keys = [key for key, tail in tails.items() if not PASSING.match(tail)]
    if not keys:
        return {}
    types = server.commands(*(("TYPE", key) for key in keys))
    commands = [
        (READ[kind.decode()][0], key, *READ[kind.decode()][1:])
        for kind, key in zip(types, keys, strict=True)
    ]
    contents = server.commands(*commands)
    ttls = server.commands(*(("PTTL", key) for key in keys))
    found: dict[str, Any] = {tail.decode(): sorted(some) for tail, some in noted.items()}
    for kind, key, content, ttl in zip(types, keys, contents, ttls, strict=True):
        content = plain(content)
        if kind == b"hash":
            content = sorted(zip(content[::2], content[1::2], strict=True))
        elif kind == b"set":
            content.sort()
        found[plain(tails[key]).decode(errors="replace")] = (
            content,
            "kept" if ttl == -1 else "leased",
        )
    return found


_undisturbed: dict[str, tuple[int, dict[str, Any]]] = {}


def undisturbed(case: Case, server: Any, proxy: CuttingProxy) -> tuple[int, dict[str, Any]]:
    """How many requests the case makes, and what it leaves behind."""
    if case.name not in _undisturbed:
        _undisturbed[case.name] = _run_undisturbed(case, server, proxy)
    return _undisturbed[case.name]


def _run_undisturbed(case: Case, server: Any, proxy: CuttingProxy) -> tuple[int, dict[str, Any]]:
    with staging(case, proxy.url, server) as make:
        case.act(make())  # the scripts are known to the server from now on
        scene = make()
        before = proxy.passed.total()
        result = case.run(scene)
        requests = proxy.passed.total() - before
        check(case, scene, result)
        return requests, left(server, scene)


def check(case: Case, scene: Scene, result: Any) -> None:
    assert result == case.result
    if case.state is None:
        with pytest.raises(ObjectGone):
            scene.main._getvalue()
    else:
        assert scene.value == case.state
        if isinstance(scene.main, DictProxy):
            assert list(scene.value) == list(case.state)


def attached(manager: RedisManager, proxy: Any) -> Any:
    """The same object through another manager."""
    token = proxy._token
    return type(proxy)(
        manager.runtime.session.handle(token.ident),  # type: ignore[arg-type]
        Token(token.typeid, token.ident, token.parameters, manager.runtime.session.origin),
    )


# -- what must not happen twice


@pytest.mark.parametrize(
    ("name", "fault"),
    [(n, f) for n in BY_NAME for f in FAULTS if f != "reply torn" or n in FEW],
)
def test_a_call_happens_once(name: str, fault: str, server: Any, proxy: CuttingProxy) -> None:
    case = BY_NAME[name]
    requests, expected = undisturbed(case, server, proxy)
    assert requests
    with staging(case, proxy.url, server) as make:
        for nth in range(1, requests + 1):
            scene = make()
            rule = FAULTS[fault](proxy, nth)
            result = case.run(scene)
            assert rule.done.wait(SECONDS), (nth, requests)
            check(case, scene, result)
            assert left(server, scene) == expected, (nth, rule.args)


@pytest.mark.parametrize("name", BY_NAME)
def test_a_request_that_arrives_late_does_nothing(
    name: str, server: Any, proxy: CuttingProxy
) -> None:
    case = BY_NAME[name]
    requests, expected = undisturbed(case, server, proxy)
    with (
        staging(case, proxy.url, server) as make,
        RedisManager(
            server.url,
            namespace=make().manager.runtime.settings.namespace,
            authkey=case.authkey,
            serializer=case.serializer,  # type: ignore[arg-type]
        ) as other,
    ):
        for nth in range(1, requests + 1):
            scene = make()
            rule = proxy.hold_request(threading.Event(), nth=nth, hang_up=True)
            result = case.run(scene)
            assert rule.caught.is_set()
            check(case, scene, result)
            assert left(server, scene) == expected

            interfere(case, scene, other)
            between = left(server, scene)
            deliver(proxy, rule)
            assert left(server, scene) == between, (nth, rule.args)


def interfere(case: Case, scene: Scene, other: RedisManager) -> None:
    """Another client changes what the call left, so that a second execution would show."""
    assert scene.main is not None
    if case.state is None:  # deleted: make it anew under the same identity
        again = Scene(scene.manager)
        if scene.main._token.ident.startswith("n:") and not scene.inner:
            case.make(again)
        return
    if case.name.startswith("create named"):
        other.delete("obj")
        return
    if case.name.startswith("attach"):
        other.delete("obj")
        return
    main = attached(other, scene.main)
    INTERLOPERS[type(main)](main)


def deliver(proxy: CuttingProxy, rule: Rule) -> None:
    """Let the held request go on, with those that were sent behind it, and wait for its end."""
    old = set(proxy._connections)
    rule.event.set()
    assert rule.done.wait(SECONDS)
    wait_until(lambda: old - proxy._connections, SECONDS, "the old connection is closed")


# -- arguments that go ahead in parts


@pytest.fixture
def in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for a million arguments, with a few."""
    monkeypatch.setattr(staged_module, "MAX_ARGS", 8)
    monkeypatch.setattr(staged_module, "CHUNK_ARGS", 7)


@pytest.mark.usefixtures("in_parts")
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", BULK_BY_NAME)
def test_a_call_with_many_arguments_happens_once(
    name: str, fault: str, server: Any, proxy: CuttingProxy
) -> None:
    case = BULK_BY_NAME[name]
    requests, expected = undisturbed(case, server, proxy)
    assert requests > 4, "it went in parts"
    with staging(case, proxy.url, server) as make:
        for nth in range(1, requests + 1):
            scene = make()
            rule = FAULTS[fault](proxy, nth)
            result = case.run(scene)
            assert rule.done.wait(SECONDS)
            check(case, scene, result)
            assert left(server, scene) == expected, (nth, rule.args)


@pytest.mark.usefixtures("in_parts")
@pytest.mark.parametrize("name", BULK_BY_NAME)
def test_parts_that_arrive_late_do_nothing(name: str, server: Any, proxy: CuttingProxy) -> None:
    case = BULK_BY_NAME[name]
    requests, _ = undisturbed(case, server, proxy)
    with (
        staging(case, proxy.url, server) as make,
        RedisManager(server.url, namespace=make().manager.runtime.settings.namespace) as other,
    ):
        for nth in range(1, requests + 1):
            scene = make()
            rule = proxy.hold_request(threading.Event(), nth=nth, hang_up=True)
            check(case, scene, case.run(scene))
            interfere(case, scene, other)
            between = left(server, scene)
            deliver(proxy, rule)
            assert left(server, scene) == between, (nth, rule.args)
            scene = make()
            check(case, scene, case.run(scene))  # what arrived late is not taken for the next


# -- other ways to the server


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", FEW)
def test_over_a_unix_socket(name: str, fault: str, server: Any) -> None:
    with CuttingProxy(server, unix=True) as proxy:
        test_a_call_happens_once(name, fault, server, proxy)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", FEW)
def test_through_a_client_of_the_user(
    name: str, fault: str, server: Any, proxy: CuttingProxy
) -> None:
    """Its own retries, ten by default, must not get in the way."""
    import redis

    case = BY_NAME[name]
    requests, expected = undisturbed(case, server, proxy)
    client = redis.Redis.from_url(proxy.url, decode_responses=True)
    with staging(case, proxy.url, server, client=client) as make:
        for nth in range(1, requests + 1):
            scene = make()
            rule = FAULTS[fault](proxy, nth)
            result = case.run(scene)
            assert rule.done.wait(SECONDS)
            check(case, scene, result)
            assert left(server, scene) == expected
    client.close()


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", FEW)
def test_with_scripts_that_the_server_does_not_know(
    name: str, fault: str, server: Any, proxy: CuttingProxy
) -> None:
    case = BY_NAME[name]
    _, expected = undisturbed(case, server, proxy)
    with staging(case, proxy.url, server) as make:
        for nth in itertools.count(1):
            scene = make()
            server.command("SCRIPT", "FLUSH")
            rule = FAULTS[fault](proxy, nth)
            result = case.run(scene)
            check(case, scene, result)
            assert left(server, scene) == expected
            if not rule.caught.is_set():
                rule.disarm()
                assert nth > 2
                return


@pytest.mark.parametrize("name", FEW)
def test_late_requests_with_scripts_that_the_server_does_not_know(
    name: str, server: Any, proxy: CuttingProxy
) -> None:
    case = BY_NAME[name]
    with (
        staging(case, proxy.url, server) as make,
        RedisManager(server.url, namespace=make().manager.runtime.settings.namespace) as other,
    ):
        for nth in itertools.count(1):
            scene = make()
            server.command("SCRIPT", "FLUSH")
            rule = proxy.hold_request(threading.Event(), nth=nth, hang_up=True)
            result = case.run(scene)
            check(case, scene, result)
            if not rule.caught.is_set():
                rule.disarm()
                return
            interfere(case, scene, other)
            between = left(server, scene)
            deliver(proxy, rule)
            assert left(server, scene) == between, (nth, rule.args)


def test_the_reply_is_lost_several_times_in_a_row(server: Any, proxy: CuttingProxy) -> None:
    with RedisManager(proxy.url) as manager:
        d = manager.dict(n=0)
        d.increment("n")
        rule = proxy.cut_after_reply(times=3)
        assert d.increment("n") == 2
        assert rule.is_spent
        assert d.copy() == {"n": 2}


# -- calls that changed nothing


def _without_change() -> dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any], Any, Any]]:
    """Name -> (make, act, result or exception, what another client does then)."""
    return {
        "list pop from empty": (
            lambda m: m.list(),
            lambda l: l.pop(),
            IndexError,
            lambda l: l.append("x"),
        ),
        "list pop out of range": (
            lambda m: m.list([1]),
            lambda l: l.pop(5),
            IndexError,
            lambda l: l.extend(range(9)),
        ),
        "list setitem out of range": (
            lambda m: m.list(),
            lambda l: l.__setitem__(0, 1),
            IndexError,
            lambda l: l.append("x"),
        ),
        "list slice assign of another size": (
            lambda m: m.list([1]),
            lambda l: l.__setitem__(slice(0, 9, 2), "abc"),
            ValueError,
            lambda l: l.extend(range(4)),
        ),
        "list slice delete of nothing": (
            lambda m: m.list(),
            lambda l: l.__delitem__(slice(0, 9, 2)),
            None,
            lambda l: l.append("x"),
        ),
        "dict pop": (
            lambda m: m.dict(),
            lambda d: d.pop("k", "default"),
            "default",
            lambda d: d.update(k=1),
        ),
        "dict delitem": (
            lambda m: m.dict(),
            lambda d: d.__delitem__("k"),
            KeyError,
            lambda d: d.update(k=1),
        ),
        "dict popitem": (
            lambda m: m.dict(),
            lambda d: d.popitem(),
            KeyError,
            lambda d: d.update(k=1),
        ),
        "dict setdefault": (
            lambda m: m.dict(k=1),
            lambda d: d.setdefault("k", 2),
            1,
            lambda d: d.clear(),
        ),
        "set remove": (
            lambda m: m.set(),
            lambda s: s.remove("k"),
            KeyError,
            lambda s: s.add("k"),
        ),
        "set pop": (lambda m: m.set(), lambda s: s.pop(), KeyError, lambda s: s.add("k")),
        "set &=": (
            lambda m: m.set([1]),
            lambda s: s.intersection_update({1}),
            None,
            lambda s: s.add("k"),
        ),
        "Namespace delete": (
            lambda m: m.Namespace(),
            lambda n: delattr(n, "x"),
            AttributeError,
            lambda n: setattr(n, "x", 1),
        ),
        "Array setitem out of range": (
            lambda m: m.Array("i", []),
            lambda a: a.__setitem__(0, 1),
            IndexError,
            lambda a: a.__setitem__(slice(None), __import__("array").array("i", [5])),
        ),
    }


@pytest.mark.parametrize("name", _without_change())
def test_a_call_that_found_nothing_to_do_does_nothing_later(
    name: str, server: Any, proxy: CuttingProxy
) -> None:
    """The caller was told that nothing happened: a late first attempt must not prove it wrong."""
    make, act, expected, meanwhile = _without_change()[name]

    def attempt(subject: Any) -> None:
        if isinstance(expected, type) and issubclass(expected, Exception):
            with pytest.raises(expected):
                act(subject)
        else:
            assert act(subject) == expected

    with RedisManager(proxy.url) as manager, RedisManager(server.url) as other:
        attempt(make(manager))  # the script is known from now on
        subject = make(manager)
        rule = proxy.hold_request(threading.Event(), hang_up=True)
        attempt(subject)
        assert rule.caught.is_set()
        meanwhile(attached(other, subject))
        content = shown(Scene(manager), subject._getvalue())
        deliver(proxy, rule)
        assert shown(Scene(manager), subject._getvalue()) == content


@pytest.mark.parametrize("name", _without_change())
def test_a_refused_call_does_not_make_the_server_forget_the_one_before(
    name: str, server: Any, proxy: CuttingProxy
) -> None:
    make, act, expected, _ = _without_change()[name]
    with RedisManager(proxy.url) as manager:
        subject = make(manager)
        counter = manager.dict(n=0)
        while counter._handle.keys.prefix != subject._handle.keys.prefix:
            counter = manager.dict(n=0)  # until both are in one partition: it has one record
        rule = proxy.hold_request(threading.Event(), hang_up=True)
        assert counter.increment("n") == 1
        assert rule.caught.is_set()
        with contextlib.suppress(LookupError, AttributeError, ValueError):
            act(subject)
        deliver(proxy, rule)
        assert counter["n"] == 1


def test_a_request_that_arrives_after_shutdown_does_nothing(
    server: Any, proxy: CuttingProxy
) -> None:
    with RedisManager(server.url) as other:
        hits = other.dict("hits", {"n": 0})
        with RedisManager(proxy.url) as manager:
            rule = proxy.hold_request(
                threading.Event(), hang_up=True, match=lambda args: b"n" in args[-3]
            )
            assert manager.dict("hits").increment("n") == 1
            assert rule.caught.is_set()
        deliver(proxy, rule)
        assert hits.copy() == {"n": 1}


@pytest.mark.parametrize("name", _without_change())
def test_a_call_that_found_nothing_to_do_says_so_after_a_lost_reply(
    name: str, proxy: CuttingProxy
) -> None:
    make, act, expected, _ = _without_change()[name]
    with RedisManager(proxy.url) as manager:
        for _ in range(2):
            subject = make(manager)
            rule = proxy.cut_after_reply()
            if isinstance(expected, type) and issubclass(expected, Exception):
                with pytest.raises(expected):
                    act(subject)
            else:
                assert act(subject) == expected
            assert rule.done.wait(SECONDS)


# -- do these tests bite?


WITHOUT_MEMORY = {
    "lib/reply_cache": ("cached_reply", "local function cached_reply() return nil end"),
    "lib/reserve_reply": ("reserve_reply", "local function reserve_reply() return nil end"),
}


GIVEN = ("name", "values", "_again")
"""Attributes that the constructors of scripts get."""


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Scripts that do not recognise a request that they have met before."""
    read = source._read

    def without_memory(name: str) -> str:
        text = read(name)
        if name not in WITHOUT_MEMORY:
            return text
        function, stub = WITHOUT_MEMORY[name]
        start = text.index(f"local function {function}(")
        end = text.index("\nend\n", start) + len("\nend")
        return text[:start] + stub + text[end:]

    monkeypatch.setattr(source, "_read", without_memory)
    gc.collect()
    gc.unfreeze()  # what was there when the tests were collected is hidden
    scripts = [each for each in gc.get_objects() if issubclass(type(each), Script)]
    gc.freeze()
    assert scripts
    kept = [(script, dict(script.__dict__)) for script in scripts]
    for script, attributes in kept:
        script.__dict__.clear()  # what was read before, but not what the constructor got
        script.__dict__.update({each: attributes[each] for each in GIVEN if each in attributes})
    yield
    for script, attributes in kept:
        script.__dict__.clear()
        script.__dict__.update(attributes)


@pytest.mark.usefixtures("forgetful")
@pytest.mark.parametrize(
    "name",
    [
        "dict increment",
        "dict pop",
        "dict popitem",
        "list append",
        "list pop",
        "list *=",
        "list reverse",
        "set ^=",
        "set pop",
        "Value add",
        "delete named dict",
        "holding dict add_new",
    ],
)
def test_these_tests_fail_without_request_numbers(
    name: str, server: Any, proxy: CuttingProxy
) -> None:
    case = BY_NAME[name]
    requests, expected = _run_undisturbed(case, server, proxy)
    assert misbehaves(case, requests, expected, server, proxy)


def misbehaves(
    case: Case, requests: int, expected: dict[str, Any], server: Any, proxy: CuttingProxy
) -> bool:
    for nth in range(1, requests + 1):
        with staged(case, proxy.url, server) as scene:
            proxy.cut_after_reply(nth=nth)
            try:
                check(case, scene, case.run(scene))
                assert left(server, scene) == expected
            except Exception:
                return True
            except AssertionError:
                return True
    return False


def test_every_script_that_changes_something_is_among_the_cases(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = set()

    def noting(original: Any) -> Any:
        def call(self: Script, *args: Any) -> Any:
            seen.add(self.name)
            return original(self, *args)

        return call

    for way in ("run_once", "run_watching", "pack_request", "run_idempotent"):
        monkeypatch.setattr(Script, way, noting(getattr(Script, way)))
    for case in CASES:
        with staged(case, server.url, server) as scene:
            case.run(scene)
            assert isinstance(scene.main, BaseProxy)
    for case in sync.CASES:
        with sync.staging(server.url, server) as make:
            stage = make(case)
            case.run(stage)
            case.calm(stage)
            case.finish(stage)
    changing = {
        name
        for name in source.all_names()
        if (
            header.check(name).writes
            # See test_exactly_once_queue, and tests/hosted/test_exactly_once.
            and not name.startswith(("queue/", "hosted/"))
            # What needs workers: see tests/pool/test_futures.py and test_large.py.
            and name not in ("pool/part", "pool/withdraw")
            # What several processes know: see test_letting_go.
            and name != "object/let_go"
        )
        or name in ("hold/recover", "hold/register")
    }
    assert changing - seen == set()
