"""What the documentation of the standard library shows of managers, as one program.

It says where its managers come from by its first argument: that is the one line that differs.
"""

from __future__ import annotations

import importlib
import multiprocessing
import operator
import queue
import sys

managers = importlib.import_module(f"{sys.argv[1]}.managers")
BaseManager, BaseProxy, SyncManager = managers.BaseManager, managers.BaseProxy, managers.SyncManager
NamespaceProxy = managers.NamespaceProxy
PORT = int(sys.argv[2])


# A server process


def fill(d, l):
    d[1] = "1"
    d["2"] = 2
    d[0.25] = None
    l.reverse()


def server_process():
    with SyncManager() as manager:
        d, l = manager.dict(), manager.list(range(10))
        process = multiprocessing.Process(target=fill, args=(d, l))
        process.start()
        process.join()
        print(d, l)


# Namespace objects


def namespaces():
    with SyncManager() as manager:
        place = manager.Namespace()
        place.x = 10
        place.y = "hello"
        place._z = 12.3
        print(place)


# Customised managers


class Maths:
    def add(self, x, y):
        return x + y

    def mul(self, x, y):
        return x * y


class MathsManager(BaseManager):
    pass


MathsManager.register("Maths", Maths)


def customised():
    with MathsManager() as manager:
        maths = manager.Maths()
        print(maths.add(4, 3), maths.mul(7, 8))


# A remote manager


class QueueManager(BaseManager):
    pass


class QueueClient(BaseManager):
    pass


shared = queue.Queue()
QueueManager.register("get_queue", callable=lambda: shared)
QueueClient.register("get_queue")


def serve(ready):
    server = QueueManager(address=("127.0.0.1", PORT), authkey=b"abracadabra").get_server()
    ready.set()
    server.serve_forever()


def put(text):
    client = QueueClient(address=("127.0.0.1", PORT), authkey=b"abracadabra")
    client.connect()
    client.get_queue().put(text)


def remote():
    ready = multiprocessing.Event()
    server = multiprocessing.Process(target=serve, args=(ready,), daemon=True)
    server.start()
    ready.wait()
    other = multiprocessing.Process(target=put, args=("hello",))
    other.start()
    client = QueueClient(address=("127.0.0.1", PORT), authkey=b"abracadabra")
    client.connect()
    print(client.get_queue().get())
    other.join()
    wrong = QueueClient(address=("127.0.0.1", PORT), authkey=b"sesame")
    try:
        wrong.connect()
    except multiprocessing.AuthenticationError:
        print("refused")
    server.terminate()
    server.join()
    print(server.exitcode)


# Proxy objects


def proxies():
    with SyncManager() as manager:
        l = manager.list([i * i for i in range(10)])
        print(l, repr(l).split(" at ")[0], l[4], l[2:5])
        a, b = manager.list(), manager.list()
        a.append(b)
        b.append("hello")
        print(a[0], b)
        print(a[0][0], len(a[0]))
        listed = manager.list([{} for _ in range(2)])
        inner = listed[0]
        inner["x"] = 1
        print(listed)
        listed[0] = inner
        print(listed)
        print(manager.list([1, 2, 3]) == [1, 2, 3])
        print(l._callmethod("__len__"), l._callmethod("__getitem__", (slice(2, 7),)))
        try:
            l._callmethod("__getitem__", (20,))
        except IndexError as error:
            print(repr(error))


# Own proxies: exposed methods, generators, modules


class Things:
    def f(self):
        print("you called Things.f()")

    def g(self):
        print("you called Things.g()")

    def _h(self):
        return "_h"


def squares():
    yield from (i * i for i in range(10))


class GeneratorProxy(BaseProxy):
    _exposed_ = ("__next__",)

    def __iter__(self):
        return self

    def __next__(self):
        return self._callmethod("__next__")


def get_operator():
    return operator


class Parts:
    def parts(self):
        yield "a"
        yield "b"

    b = 5


class PartsProxy(NamespaceProxy):
    _exposed_ = ("__getattribute__", "__setattr__", "__delattr__", "parts")

    def parts(self):
        callmethod = object.__getattribute__(self, "_callmethod")
        return list(callmethod("parts"))


class OwnManager(SyncManager):
    pass


OwnManager.register("Things1", Things)
OwnManager.register("Things2", Things, exposed=("g", "_h"))
OwnManager.register("squares", squares, proxytype=GeneratorProxy)
OwnManager.register("operator", get_operator)
OwnManager.register("Parts", Parts, PartsProxy, method_to_typeid={"parts": "Iterator"})


def own_proxies():
    with OwnManager() as manager:
        one, two = manager.Things1(), manager.Things2()
        print(hasattr(one, "_h"), hasattr(two, "f"), two._h())
        print(list(manager.squares()))
        op = manager.operator()
        print(op.add(23, 45), op.pow(2, 94), op._exposed_[:3])
        parts = manager.Parts()
        parts.a = 1
        print(parts.a, parts.b, parts.parts())


if __name__ == "__main__":
    for part in (server_process, namespaces, customised, remote, proxies, own_proxies):
        print(f"-- {part.__name__}")
        part()
