"""What messages say of an operation."""

from __future__ import annotations

import threading

import pytest

from multihost.wire.keys import Keys
from multihost.wire.subject import describe


@pytest.mark.parametrize(
    ("operation", "subject", "said"),
    [
        ("dict/set", "n:crawl.urls", "the dict 'crawl.urls'"),
        ("queue/put", "u:abc", "an unnamed queue"),
        ("hget", "n:d", "the object 'd'"),
        ("hosted/host_of", "n:d", "the object 'd'"),
        ("server/transaction", "u:abc", "an unnamed object"),
        ("a call", "h:abc", "a host of objects"),
        ("info", "the server", "the server"),
        ("hget", Keys("other", "n:a: 5%").data.decode(), "the object 'a: 5%'"),
        ("hget", Keys("other", "u:abc").sessions.decode(), "the namespace 'other'"),
    ],
)
def test_outside_of_a_method_it_is_the_object(operation: str, subject: str, said: str) -> None:
    assert describe(operation, subject) == said


# Frames are told by their module.
_namespace = {"__name__": "multihost.proxies.made_up", "describe": describe}
exec(
    "class Proxy:\n"
    "    _typeid_ = 'Queue'\n"
    "    def put(self): return self._put()\n"
    "    def _put(self): return describe('queue/put', 'n:jobs')\n"
    "    def unnamed(self): return describe('queue/put', 'u:abc')\n",
    _namespace,
)


def test_in_a_method_it_is_that_which_the_program_called() -> None:
    proxy = _namespace["Proxy"]()  # type: ignore[operator]
    assert proxy.put() == "Queue.put() of 'jobs'"
    assert proxy.unnamed() == "Queue.unnamed() of an unnamed object"
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(proxy.put()))
    thread.start()
    thread.join()
    assert found == ["Queue.put() of 'jobs'"]
