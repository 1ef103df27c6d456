"""Contenders that send Redis commands themselves, and keep values as plain pickles.

They do less than a Manager: no insertion order, no leases, no exactly-once. They show what the
server and the wire cost.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable, Iterator
from pickle import dumps, loads
from struct import Struct
from typing import Any

from bench.catalogue import WIDTH, Row, entries, keys, numbers, small_key
from bench.socket_link import SocketLink

__all__ = ["BareSocket", "RedisPy"]

INT = Struct("i")


class ServerContender:
    """The rows in Redis commands; how a command is sent is the subclass's matter."""

    prefix: str
    #: Send one command, return its reply.
    call: Callable[..., Any]
    #: Send some commands as one transaction, return their replies.
    transaction: Callable[..., list[Any]]

    def __init__(self) -> None:
        self.serial = itertools.count()
        self.made: list[str] = []

    def make(self, *command: Any) -> str:
        """Choose a new key; with a command, begin its content with that."""
        key = f"{self.prefix}:{next(self.serial)}"
        self.made.append(key)
        if command:
            verb, *content = command
            self.call(verb, key, *content)
        return key

    def forget(self) -> None:
        """Delete everything made so far."""
        for key in self.made:
            self.call("DEL", key)
        self.made.clear()

    def pairs(self, reply: Any) -> Iterable[tuple[bytes, bytes]]:
        """Read the reply to HGETALL."""
        raise NotImplementedError

    def mix_call(self) -> Callable[..., Any]:
        """Connect once more, and return what sends a command there."""
        raise NotImplementedError

    def singles(self) -> Iterator[Row]:
        """Offer the rows of single calls."""
        call, transaction = self.call, self.transaction
        name, content = keys(WIDTH), entries(WIDTH)
        new = list(content.values())
        full, counters, scratch = self.make("HSET", *flat(content)), self.make(), self.make()

        def empty(_: int) -> None:
            call("DEL", scratch)

        def fill(count: int) -> None:
            call("HSET", scratch, *flat(dict(itertools.islice(content.items(), count))))

        yield Row("dict get", lambda i: loads(call("HGET", full, name[i])))
        yield Row("dict contains", lambda i: bool(call("HEXISTS", full, name[i])))
        yield Row("dict len", lambda _: call("HLEN", full))
        yield Row("dict set, old key", lambda i: call("HSET", full, name[i], dumps(new[i], 5)))
        yield Row(
            "dict set, new key",
            lambda i: call("HSET", scratch, name[i], dumps(new[i], 5)),
            after=empty,
        )
        yield Row(
            "dict setdefault",
            lambda i: loads(
                transaction(
                    ("HSETNX", scratch, name[i], dumps(new[i], 5)), ("HGET", scratch, name[i])
                )[1]
            ),
            after=empty,
        )
        yield Row("dict update of one", lambda i: call("HSET", full, name[i], dumps(new[i], 5)))
        yield Row(
            "dict pop",
            lambda i: loads(transaction(("HGET", scratch, name[i]), ("HDEL", scratch, name[i]))[0]),
            before=fill,
            after=empty,
        )
        yield Row("dict increment", lambda i: call("HINCRBY", counters, name[i], 1))
        yield from self.single_sequences(name, new)
        yield from self.single_values(new)

    def single_sequences(self, name: list[str], new: list[str]) -> Iterator[Row]:
        """Offer the rows of lists and sets."""
        call = self.call
        full, stack = self.make("RPUSH", *pickled(new)), self.make()
        members, fresh = self.make("SADD", *pickled(name)), self.make()

        def empty(_: int) -> None:
            call("DEL", stack)

        def fill(count: int) -> None:
            call("RPUSH", stack, *pickled(reversed(new[:count])))

        yield Row("list getitem", lambda i: loads(call("LINDEX", full, i)))
        yield Row("list setitem", lambda i: call("LSET", full, i, dumps(new[i], 5)))
        yield Row("list append", lambda i: call("RPUSH", stack, dumps(new[i], 5)), after=empty)
        yield Row("list pop", lambda _: loads(call("RPOP", stack)), before=fill, after=empty)
        yield Row("set contains", lambda i: bool(call("SISMEMBER", members, dumps(name[i], 5))))
        yield Row(
            "set add",
            lambda i: call("SADD", fresh, dumps(name[i], 5)),
            after=lambda _: call("DEL", fresh),
        )

    def single_values(self, new: list[str]) -> Iterator[Row]:
        """Offer the rows of Namespace, Value and Array."""
        call, size = self.call, INT.size
        space = self.make("HSET", "field", dumps(new[0], 5))
        number, other = self.make("SET", 7), self.make()
        array = self.make("SET", b"".join(map(INT.pack, numbers(WIDTH))))
        yield Row("Namespace get", lambda _: loads(call("HGET", space, "field")))
        yield Row("Namespace set", lambda i: call("HSET", space, "other", dumps(new[i], 5)))
        yield Row("Value get", lambda _: int(call("GET", number)))
        yield Row("Value set", lambda i: call("SET", other, i))
        yield Row(
            "Array get",
            lambda i: INT.unpack(call("GETRANGE", array, i * size, i * size + size - 1))[0],
        )
        yield Row("Array set", lambda i: call("SETRANGE", array, i * size, INT.pack(i)))

    def bulk(self, size: int) -> Iterator[Row]:
        """Offer the rows that move ``size`` entries at once. Redis cannot sort pickles."""
        call, pairs = self.call, self.pairs
        content = entries(size)
        values = list(content.values())
        full, fresh = self.make("HSET", *flat(content)), self.make()

        alike = dict.fromkeys(content, values[0])
        twin = self.make("HSET", *flat(alike))

        def copy(key: str) -> dict[str, Any]:
            return {name.decode(): loads(data) for name, data in pairs(call("HGETALL", key))}

        yield Row("dict copy", lambda _: copy(full))
        yield Row("dict copy, one value", lambda _: copy(twin))
        yield Row("dict items", lambda _: list(copy(full).items()))
        yield Row("dict keys", lambda _: [key.decode() for key in call("HKEYS", full)])
        yield Row(
            "dict update, new keys",
            lambda _: call("HSET", fresh, *flat(content)),
            after=lambda _: call("DEL", fresh),
        )
        yield Row("dict update, old keys", lambda _: call("HSET", full, *flat(content)))
        yield Row(
            "dict update, one value",
            lambda _: call("HSET", fresh, *flat(alike)),
            after=lambda _: call("DEL", fresh),
        )

        sequence, longer = self.make("RPUSH", *pickled(values)), self.make()
        yield Row("list slice", lambda _: list(map(loads, call("LRANGE", sequence, 0, -1))))
        yield Row(
            "list extend",
            lambda _: call("RPUSH", longer, *pickled(values)),
            after=lambda _: call("DEL", longer),
        )

        members, grown = self.make("SADD", *pickled(keys(size))), self.make()
        half_new = set(keys(size, size // 2))
        yield Row("set union", lambda _: half_new.union(map(loads, call("SMEMBERS", members))))
        yield Row(
            "set update",
            lambda _: call("SADD", grown, *pickled(half_new)),
            after=lambda _: call("DEL", grown),
        )

    def sized(self, size: int, at_once: int = 10_000) -> Iterator[Row]:
        """Offer the rows whose cost should not depend on ``size``."""
        call = self.call
        full, sequence = self.make(), self.make()
        for start in range(0, size, at_once):
            count = min(at_once, size - start)
            call("HSET", full, *flat(entries(count, start)))
            call("RPUSH", sequence, *pickled([1] * count))
        picked: list[str] = []
        new = list(entries(WIDTH).values())

        def pick(count: int) -> None:
            picked[:] = [small_key(0), *map(small_key, random.choices(range(size), k=count))]

        yield Row("dict get", lambda i: loads(call("HGET", full, picked[i])), before=pick)
        yield Row(
            "dict set", lambda i: call("HSET", full, picked[i], dumps(new[i], 5)), before=pick
        )
        yield Row("dict len", lambda _: call("HLEN", full))
        yield Row(
            "list append",
            lambda _: call("RPUSH", sequence, dumps(1, 5)),
            after=lambda _: call("LTRIM", sequence, 0, size - 1),
        )

    def mix(self) -> Callable[[], Callable[[int], object]]:
        """Return what a worker process calls once for its get-and-set call."""
        name, content = keys(WIDTH), entries(WIDTH)
        new = list(content.values())
        shared = self.make("HSET", *flat(content))

        def begin() -> Callable[[int], object]:
            send = self.mix_call()

            def call(index: int) -> object:
                if index % 2:
                    return send("HSET", shared, name[index % WIDTH], dumps(new[index % WIDTH], 5))
                return loads(send("HGET", shared, name[index % WIDTH]))

            return call

        return begin


class RedisPy(ServerContender):
    """``redis.Redis`` as it comes, with hiredis."""

    prefix = "redis-py"

    def __init__(self, path: str) -> None:
        import redis

        super().__init__()
        self.path = path
        self.client = redis.Redis(unix_socket_path=path)
        self.call = self.client.execute_command

    def transaction(self, *commands: tuple[Any, ...]) -> list[Any]:
        """Send them through a pipeline."""
        with self.client.pipeline(transaction=True) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            replies: list[Any] = pipeline.execute()
        return replies

    def pairs(self, reply: Any) -> Iterable[tuple[bytes, bytes]]:
        """Read the reply to HGETALL, which is a dict already."""
        items: Iterable[tuple[bytes, bytes]] = reply.items()
        return items

    def mix_call(self) -> Callable[..., Any]:
        """Connect once more."""
        import redis

        return redis.Redis(unix_socket_path=self.path).execute_command

    def close(self) -> None:
        """Close the connections."""
        self.client.close()


class BareSocket(ServerContender):
    """The floor: a socket, hiredis and pickle."""

    prefix = "socket"

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path
        self.link = SocketLink(path)
        self.call = self.link.call
        self.transaction = self.link.transaction

    def pairs(self, reply: Any) -> Iterable[tuple[bytes, bytes]]:
        """Read the reply to HGETALL, which is flat."""
        return zip(reply[::2], reply[1::2], strict=True)

    def mix_call(self) -> Callable[..., Any]:
        """Connect once more."""
        return SocketLink(self.path).call

    def close(self) -> None:
        """Close the connection."""
        self.link.close()


def flat(content: dict[str, str]) -> Iterator[Any]:
    """Lay out a dict as HSET wants it."""
    for key, item in content.items():
        yield key
        yield dumps(item, 5)


def pickled(items: Iterable[Any]) -> Iterator[bytes]:
    """Pickle items one by one."""
    return (dumps(item, 5) for item in items)
