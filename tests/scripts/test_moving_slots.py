"""Scripts while the slot of their keys moves, key by key: all of it happens, or nothing.

Scripts derive keys that a call does not declare. Of those the cluster does not know that they have
moved; the guard has it refuse the call.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import hiredis
import pytest

from multihost.wire.link import Link
from multihost.wire.script.source import all_names
from tests.scripts.samples import Sample, State, put, recorded, state_of
from tests.scripts.test_declared_keys import run_every_script
from tests.support.cluster import Cluster, slot_of
from tests.support.server import Server

ASKING = (b"ASKING",)
TIME = re.compile(r"\d{13,}")  # in a reply
REFUSED = ("TRYAGAIN", "ASK", "MOVED")


def answer(server: Server, *commands: tuple[bytes, ...]) -> Any:
    """The reply to the last of some commands; an error is returned, too."""
    with server.connect() as client:
        client.send(*commands)
        return [client.read() for _ in commands][-1]


def effect(server: Server, sample: Sample) -> State:
    """What the call leaves on a server that has everything; the same without the guard."""
    outcomes = []
    for keys in (sample.keys[:-1], sample.keys):
        server.command("FLUSHALL")
        server.commands(*put(sample.before), ("PING",))
        reply = answer(server, sample.command(keys))
        left = state_of(server, sample.partition)
        outcomes.append((TIME.sub("", str(reply)), left.keys()))
    assert outcomes[0] == outcomes[1], sample.name
    return left


def telling(server: Server, samples: list[Sample]) -> Iterator[tuple[Sample, State]]:
    """Of the calls of each script the one that changes the most keys, and what it leaves."""
    for name in all_names():
        found = [(each, effect(server, each)) for each in samples if each.name == name]
        yield max(found, key=lambda pair: len(pair[0].before.items() ^ pair[1].items()))


def parts(state: State) -> Iterator[frozenset[bytes]]:
    """Which keys have moved: none, one, all."""
    yield from {frozenset(), *(frozenset([key]) for key in state), frozenset(state)}


class Move:
    """A slot on its way from one node to another."""

    def __init__(self, cluster: Cluster, sample: Sample) -> None:
        self._cluster = cluster
        self._sample = sample
        self._slot = slot_of(sample.keys[0])
        self._source = cluster.node(cluster.node_of(self._slot))
        self._target = next(each for each in cluster.masters if each is not self._source)
        cluster.begin_move(self._slot, self._target)

    def close(self) -> None:
        """There is nothing, and it does not move any more."""
        pattern = self._sample.partition.decode() + "*"
        for node in (self._source, self._target):
            for key in node.keys(pattern):
                node.commands(ASKING, ("DEL", key))
            node.command("CLUSTER", "SETSLOT", self._slot, "STABLE")

    def lay_out(self, moved: frozenset[bytes]) -> None:
        """Have those keys at the target, and the others at the source."""
        self.close()
        before = self._sample.before
        there = {key: each for key, each in before.items() if key in moved}
        here = {key: each for key, each in before.items() if key not in moved}
        self._source.commands(*put(here), ("PING",))
        self._cluster.begin_move(self._slot, self._target)
        self._target.commands(*put(there, ASKING), ("PING",))

    def state(self) -> State | None:
        """What is there; None if one key is at both."""
        here, there = (
            state_of(node, self._sample.partition, ASKING) for node in (self._source, self._target)
        )
        return None if here.keys() & there.keys() else here | there

    def harm(self, moved: frozenset[bytes], keys: tuple[bytes, ...], full: State) -> str:
        """What a call leaves that is neither nothing nor everything, at source and at target."""
        command = self._sample.command(keys)
        calls = [(self._source, [command]), (self._target, [ASKING, command])]
        for node, commands in calls:
            self.lay_out(moved)
            before = self.state()  # as these servers pack it, not that which was recorded
            said = answer(node, *commands)
            refused = isinstance(said, hiredis.ReplyError) and str(said).startswith(REFUSED)
            if self.state() != (before if refused else full):
                return f"cut in half, {said!r}"
        return ""


def cut(cluster: Cluster, sample: Sample, keys: tuple[bytes, ...], full: State) -> list[str]:
    move = Move(cluster, sample)
    try:
        return [
            f"{sample.name} with {sorted(moved)}: {harm}"
            for moved in parts(sample.before)
            if (harm := move.harm(moved, keys, full))
        ]
    finally:
        move.close()


def test_a_script_happens_wholly_or_not_at_all(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One test for all of them: to have a call of each recorded takes as long as to try it."""
    with Server() as server, monkeypatch.context() as patch:
        patch.setattr(Link, "guarded", True)
        with recorded(server, patch) as (seen, found):
            run_every_script(server, server.url, seen, patch)
        for sample in found:
            check_keys(sample)
        samples = list(telling(server, found))
    assert not [
        harm for sample, full in samples for harm in cut(cluster, sample, sample.keys, full)
    ]
    # And this would notice: without the guard more than every third would be cut in half.
    by_name = {sample.name: (sample, full) for sample, full in samples}
    sample, full = by_name["queue/put"]
    assert cut(cluster, sample, sample.keys[:-1], full)


def check_keys(sample: Sample) -> None:
    """The guard is the last key, and none that exists."""
    guard = sample.partition + b":-"
    assert sample.keys[-1] == guard, sample.name
    assert sample.keys.count(guard) == 1
    assert guard not in sample.before
