"""The objects of a host: a table of them, and the calls to them.

How requests and replies travel is the subject of ``wire.rpc`` and ``serving.host``.
"""

from __future__ import annotations

import itertools
import re
import threading
import traceback
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from multihost.patching import per_thread
from multihost.proxies.base import BaseProxy
from multihost.wire.identity import check_name, named, new_unnamed
from multihost.wire.rpc import objects, results
from multihost.wire.session import Handle, Session
from multihost.wire.stored import report_damage
from multihost.wire.values.codec import Codec

__all__ = ["Natives", "ObjectTable", "Registered", "public_methods"]

NO_KEYWORDS: dict[str, Any] = {}
RELEASED = rb"(u:[\w-]{22}) ([\w-]+) ([0-9]{1,18})"
CHECKED = 1000  # objects that are checked in one round trip
Registered = tuple[Any, Any, Any, Any]  # callable, exposed, method_to_typeid, proxytype
Natives = Mapping[str, Callable[..., BaseProxy]]  # factories of what the server itself holds


def public_methods(referent: object) -> list[str]:
    """Return the names of its callable attributes that do not start with an underscore."""
    return [name for name in dir(referent) if name[0] != "_" and callable(getattr(referent, name))]


class _HostedObject:
    """One object, and the clients that have a reference to it."""

    __slots__ = ("exposed", "names", "ready", "references", "referent", "results", "typeid")

    def __init__(self, typeid: str) -> None:
        self.typeid = typeid
        self.referent: Any = None
        self.names: tuple[str, ...] = ()
        self.exposed: frozenset[str] = frozenset()
        self.results: Mapping[str, str] = {}
        self.references: dict[bytes, int] = {}  # session of a client -> version of its last one
        self.ready: threading.Event | None = None  # set when it is created; None after that


class _Client:
    """The session of the client whose call this thread answers."""

    session = b""


class _Raised(Exception):
    """A method of an object raised something."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


class ObjectTable:
    """The objects that one process hosts."""

    def __init__(
        self,
        session: Session,
        host: str,
        registry: Mapping[str, Registered],
        natives: Natives,
        stop: Callable[[], object],
        is_alive: Callable[[str], bool],
    ) -> None:
        self._session = session
        self._codec: Codec = session.codec.unsigned  # the channel signs
        self._host = host
        self._registry = registry
        self._natives = natives
        self._is_alive = is_alive
        self._objects: dict[str, _HostedObject] = {}
        self._idents: dict[int, str] = {}  # of unnamed objects, by id()
        self._versions = itertools.count(1)
        self.client: _Client = per_thread(_Client)
        self._mutex = threading.RLock()
        self._public: dict[str, Callable[..., Any]] = {
            "create": self._create,
            "dummy": lambda: None,
            "number_of_objects": lambda: len(self._objects),
            "debug_info": self._debug_info,
            "delete": lambda name: self._end(named(name)),
            "shutdown": stop,
        }

    def __len__(self) -> int:
        return len(self._objects)

    # calls

    def answer(self, payload: bytes) -> bytes:
        """Run a request, and return the reply. Raises nothing: errors are replies, too."""
        codec = self._codec
        try:
            request = codec.load(payload)
            if len(request) == 3:  # without keywords
                ident, name, args = request
                return self._call(ident, name, args, NO_KEYWORDS)
            ident, name, args, kwds = request
            if ident:
                return self._call(ident, name, args, kwds)
            reply = self._public[name](*args, **kwds)
            return reply if type(reply) is bytes else results.encode_value(codec, reply)
        except _Raised as raised:
            return results.encode_error(codec, raised.error)
        except BaseException:  # noqa: BLE001 - the client raises it, whatever it is
            return results.encode_text(codec, traceback.format_exc())

    def _call(self, ident: str, name: str, args: Any, kwds: Any) -> bytes:
        each = self._objects.get(ident)
        if each is not None and (ready := each.ready) is not None:
            ready.wait()
            each = self._objects.get(ident)
        if each is None:
            return results.NOT_FOUND
        referent = each.referent
        if name not in each.exposed:
            return self._fall_back(each, ident, name, args, kwds)
        try:
            method = getattr(referent, name)
        except AttributeError:
            return self._fall_back(each, ident, name, args, kwds)
        try:
            result = method(*args, **kwds)
        except Exception as error:
            error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next
            raise _Raised(error) from error
        if each.results and (typeid := each.results.get(name)) is not None:
            return self._result(typeid, result)
        return self._value(result)

    def _value(self, result: Any) -> bytes:
        try:
            return results.encode_value(self._codec, result)
        except Exception:  # noqa: BLE001 - it cannot be pickled
            text = f"Unserializable message: {traceback.format_exc()}\n"
            return results.encode_text(self._codec, text)

    def _fall_back(self, each: _HostedObject, ident: str, name: str, args: Any, kwds: Any) -> bytes:
        """Run the methods that every object has."""
        match name:
            case "__str__":
                return self._value(str(each.referent, *args, **kwds))
            case "__repr__":
                return self._value(repr(each.referent, *args, **kwds))
            case "#GETVALUE":
                return self._value(each.referent)
            case "#METHODS":
                return self._value(each.names)
            case "#DELETE":
                self._end(ident)
                return self._value(None)
        if name in each.exposed:
            getattr(each.referent, name)  # raises the AttributeError
        raise AttributeError(
            f"method {name!r} of {type(each.referent)!r} object is not in "
            f"exposed={set(each.exposed)!r}"
        )

    def _result(self, typeid: str, result: Any) -> bytes:
        """Make an object of a result: one of the server, or a hosted one."""
        if typeid not in self._registry and (native := self._natives.get(typeid)) is not None:
            return self._value(native(result))
        return self._add(typeid, self._make(typeid, (result,), {}))

    # creating objects

    def _create(
        self, typeid: str, args: Iterable[Any], kwds: dict[str, Any], name_first: bool
    ) -> bytes:
        args = tuple(args)
        name, args, kwds = self._name_of(typeid, args, kwds, name_first)
        if name is None:
            return self._add(typeid, self._make(typeid, args, kwds))
        ident = named(check_name(name))
        while True:
            with self._mutex:
                each = self._objects.get(ident)
                if each is None:
                    each = self._objects[ident] = _HostedObject(typeid)
                    each.ready = threading.Event()
                    break
            if (ready := each.ready) is not None:
                ready.wait()  # if the other thread failed, this one tries
            elif each.typeid == typeid:
                return self._found(typeid, each.names, ident, self._host, None)
            else:
                raise TypeError(
                    f"{name!r} is a {each.typeid}, not a {typeid}: choose another name or delete "
                    "it first"
                )
        try:
            other = self._claim_name(self._session.handle(ident), typeid)
            if other is not None:
                del self._objects[ident]
                return self._found(typeid, None, ident, other, None)
            try:
                self._fill(each, typeid, self._make(typeid, args, kwds))
            except BaseException:
                objects.end(self._session.handle(ident), self._host)
                raise
        except BaseException:
            self._objects.pop(ident, None)
            raise
        finally:
            ready, each.ready = each.ready, None
            assert ready is not None
            ready.set()
        return self._found(typeid, each.names, ident, self._host, None)

    def _claim_name(self, handle: Handle, typeid: str) -> str | None:
        """Claim a name, also from a dead host; return the host that has it if another one lives."""
        host = objects.create(handle, typeid, self._host)
        while host is not None and host != self._host and not self._is_alive(host):
            host = objects.create(handle, typeid, self._host, host)
        return None if host == self._host else host

    def _name_of(
        self, typeid: str, args: tuple[Any, ...], kwds: dict[str, Any], name_first: bool
    ) -> tuple[str | None, tuple[Any, ...], dict[str, Any]]:
        """Return the name, and the arguments without it: a leading str where managers take names
        first, else ``name=`` unless the callable has such a parameter.
        """
        if name_first and args and isinstance(args[0], str):
            return args[0], args[1:], kwds
        name = kwds.get("name")
        if name is None or _takes_name(self._registry[typeid][0]):
            return None, args, kwds
        return name, args, {key: value for key, value in kwds.items() if key != "name"}

    def _make(self, typeid: str, args: tuple[Any, ...], kwds: dict[str, Any]) -> Any:
        factory = self._registry[typeid][0]
        if factory is not None:
            return factory(*args, **kwds)
        if kwds or len(args) != 1:
            raise ValueError("Without callable, must have one non-keyword argument")
        return args[0]

    def _fill(self, each: _HostedObject, typeid: str, referent: Any) -> None:
        _, exposed, results, _ = self._registry[typeid]
        if results is not None and not isinstance(results, dict):
            raise TypeError(f"Method_to_typeid {results!r}: type {type(results)!s}, not dict")
        names = [*(public_methods(referent) if exposed is None else exposed), *(results or ())]
        each.referent = referent
        each.names = tuple(dict.fromkeys((*each.names, *names)))
        each.exposed = frozenset(each.names)
        each.results = {**each.results, **(results or {})}

    def _add(self, typeid: str, referent: Any) -> bytes:
        """Host an unnamed object; one that is hosted already keeps its ident."""
        with self._mutex:
            ident = self._idents.get(id(referent))
            each = self._objects.get(ident) if ident is not None else None
            if each is None or each.referent is not referent:
                ident = new_unnamed()
                objects.create(self._session.handle(ident), typeid, self._host)
                each = _HostedObject(typeid)
            assert ident is not None
            version = next(self._versions)
            each.references[self.client.session] = version
            self._fill(each, typeid, referent)
            self._objects[ident] = each
            self._idents[id(referent)] = ident
        return self._found(typeid, each.names, ident, self._host, version)

    def _found(self, *fields: Any) -> bytes:
        return results.encode_proxy(self._codec, *fields)

    # deleting objects

    def release_references(self, released: Iterable[bytes]) -> None:
        """Release references of clients, and delete the objects that have none left."""
        for each in released:
            found = re.fullmatch(RELEASED, each)
            if found is None:
                report_damage("the references that clients released", each)
                continue
            ident, client, version = found[1].decode(), found[2], int(found[3])
            with self._mutex:
                known = self._objects.get(ident)
                if known is None or known.references.get(client) != version:
                    continue  # the client got another one since
                del known.references[client]
                if known.references:
                    continue
                self._forget(ident)
            objects.end(self._session.handle(ident), self._host)

    def sweep(self) -> None:
        """Forget the objects that were deleted, expired, or were taken over by another host."""
        idents = list(self._objects)
        for start in range(0, len(idents), CHECKED):
            chunk = idents[start : start + CHECKED]
            handles = [self._session.handle(ident) for ident in chunk]
            for ident, exists in zip(chunk, objects.existing(handles, self._host), strict=True):
                each = self._objects.get(ident)
                if not exists and each is not None and each.ready is None:
                    with self._mutex:
                        self._forget(ident)

    def _forget(self, ident: str) -> None:
        each = self._objects.pop(ident, None)
        if each is not None and self._idents.get(id(each.referent)) == ident:
            del self._idents[id(each.referent)]

    def _end(self, ident: str) -> None:
        with self._mutex:
            self._forget(ident)
        objects.end(self._session.handle(ident), self._host)

    def end(self) -> None:
        """Delete all objects: the process ends."""
        for ident in list(self._objects):
            self._end(ident)

    def _debug_info(self) -> str:
        with self._mutex:
            return "\n".join(
                f"  {ident}:       refcount={len(each.references)}\n    {str(each.referent)[:75]}"
                for ident, each in sorted(self._objects.items())
            )


def _takes_name(factory: Any) -> bool:
    """Return True if ``name=`` is an argument of the callable itself."""
    import inspect  # slow, and rarely needed

    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):
        return False
    return any(each.name == "name" or each.kind is each.VAR_KEYWORD for each in parameters)
