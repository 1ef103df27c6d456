"""The objects of a host: which there are, and what happens when one is called.

Nothing here knows how a request came.
"""

from __future__ import annotations

import itertools
import threading
import traceback
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from multihost.wire.identity import named, new_unnamed
from multihost.wire.keys import check_name
from multihost.wire.rpc import objects, results
from multihost.wire.session import Handle, Session
from multihost.wire.values.codec import Codec

__all__ = ["ObjectTable", "Registered", "public_methods"]

NONE: dict[str, Any] = {}
CHECKED = 1000  # records that are looked at in one round trip
Registered = tuple[Any, Any, Any, Any]  # callable, exposed, method_to_typeid, proxytype


def public_methods(thing: object) -> list[str]:
    """The names of what can be called, but for those that start with an underscore."""
    return [name for name in dir(thing) if name[0] != "_" and callable(getattr(thing, name))]


class _HostedObject:
    """One object, and who was told of it."""

    __slots__ = ("exposed", "names", "ready", "references", "referent", "results", "typeid")

    def __init__(self, typeid: str) -> None:
        self.typeid = typeid
        self.referent: Any = None
        self.names: tuple[str, ...] = ()
        self.exposed: frozenset[str] = frozenset()
        self.results: Mapping[str, str] = {}
        self.references: dict[bytes, int] = {}  # session of a client -> when it was told last
        self.ready: threading.Event | None = None  # while it is being made


class _Client(threading.local):
    """Who is calling, in the thread that answers it."""

    session = b""


class _Raised(Exception):
    """A method of an object raised something."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


class ObjectTable:
    """What one process hosts."""

    def __init__(
        self,
        session: Session,
        host: str,
        registry: Mapping[str, Registered],
        natives: Any,
        stop: Callable[[], object],
        is_alive: Callable[[str], bool],
    ) -> None:
        self._session = session
        self._codec: Codec = session.codec
        self._host = host
        self._registry = registry
        self._natives = natives
        self._is_alive = is_alive
        self._objects: dict[str, _HostedObject] = {}
        self._idents: dict[int, str] = {}  # of what is here without a name
        self._versions = itertools.count(1)
        self.client = _Client()
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
        """What comes of a request."""
        codec = self._codec
        try:
            request = codec.load(payload)
            if len(request) == 3:  # without keywords
                ident, name, args = request
                return self._call(ident, name, args, NONE)
            ident, name, args, kwds = request
            if ident:
                return self._call(ident, name, args, kwds)
            answer = self._public[name](*args, **kwds)
            return answer if type(answer) is bytes else results.encode_value(codec, answer)
        except _Raised as raised:
            return results.encode_error(codec, raised.error)
        except BaseException:  # noqa: BLE001 - the caller hears of it, whatever it is
            return results.encode_text(codec, traceback.format_exc())

    def _call(self, ident: str, name: str, args: Any, kwds: Any) -> bytes:
        each = self._objects.get(ident)
        if each is not None and (ready := each.ready) is not None:
            ready.wait()
            each = self._objects.get(ident)
        if each is None:
            return results.NOT_FOUND
        thing = each.referent
        if name not in each.exposed:
            return self._fall_back(each, ident, name, args, kwds)
        try:
            method = getattr(thing, name)
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
        """What every object answers to."""
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
            getattr(each.referent, name)  # says what it lacks
        raise AttributeError(
            f"method {name!r} of {type(each.referent)!r} object is not in "
            f"exposed={set(each.exposed)!r}"
        )

    def _result(self, typeid: str, result: Any) -> bytes:
        """A result that becomes an object itself."""
        if typeid not in self._registry and self._natives._is_native(typeid):
            return self._value(getattr(self._natives, typeid)(result))
        return self._enter(typeid, self._make(typeid, (result,), {}))

    # objects come

    def _create(
        self, typeid: str, args: Iterable[Any], kwds: dict[str, Any], name_first: bool
    ) -> bytes:
        args = tuple(args)
        name, args, kwds = self._name_of(typeid, args, kwds, name_first)
        if name is None:
            return self._enter(typeid, self._make(typeid, args, kwds))
        ident = named(check_name(name))
        while True:
            with self._mutex:
                each = self._objects.get(ident)
                if each is None:
                    each = self._objects[ident] = _HostedObject(typeid)
                    each.ready = threading.Event()
                    break
            if (ready := each.ready) is not None:
                ready.wait()  # and if that failed, we try
            elif each.typeid == typeid:
                return self._found(typeid, each.names, ident, self._host, None)
            else:
                raise TypeError(
                    f"{name!r} is a {each.typeid}, not a {typeid}: choose another name or delete "
                    "it first"
                )
        try:
            there = self._enter_name(self._session.handle(ident), typeid)
            if there is not None:
                del self._objects[ident]
                return self._found(typeid, None, ident, there, None)
            try:
                self._fill(each, typeid, self._make(typeid, args, kwds))
            except BaseException:
                objects.end(self._session.handle(ident), self._host)
                raise
        except BaseException:
            self._objects.pop(ident, None)
            raise
        finally:
            made, each.ready = each.ready, None
            assert made is not None
            made.set()
        return self._found(typeid, each.names, ident, self._host, None)

    def _enter_name(self, handle: Handle, typeid: str) -> str | None:
        """Take a name, also from a dead host; the host if it is a living one's."""
        there = objects.create(handle, typeid, self._host)
        while there is not None and there != self._host and not self._is_alive(there):
            there = objects.create(handle, typeid, self._host, there)
        return None if there == self._host else there

    def _name_of(
        self, typeid: str, args: tuple[Any, ...], kwds: dict[str, Any], name_first: bool
    ) -> tuple[str | None, tuple[Any, ...], dict[str, Any]]:
        """The name that an object is asked for by: a leading str where managers say so, else
        ``name=`` unless the callable takes that itself.
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

    def _fill(self, each: _HostedObject, typeid: str, thing: Any) -> None:
        _, exposed, results, _ = self._registry[typeid]
        if results is not None and not isinstance(results, dict):
            raise TypeError(f"Method_to_typeid {results!r}: type {type(results)!s}, not dict")
        names = [*(public_methods(thing) if exposed is None else exposed), *(results or ())]
        each.referent = thing
        each.names = tuple(dict.fromkeys((*each.names, *names)))
        each.exposed = frozenset(each.names)
        each.results = {**each.results, **(results or {})}

    def _enter(self, typeid: str, thing: Any) -> bytes:
        """An object without a name: the same is found again."""
        with self._mutex:
            ident = self._idents.get(id(thing))
            each = self._objects.get(ident) if ident is not None else None
            if each is None or each.referent is not thing:
                ident = new_unnamed()
                objects.create(self._session.handle(ident), typeid, self._host)
                each = _HostedObject(typeid)
            assert ident is not None
            claim = next(self._versions)
            each.references[self.client.session] = claim
            self._fill(each, typeid, thing)
            self._objects[ident] = each
            self._idents[id(thing)] = ident
        return self._found(typeid, each.names, ident, self._host, claim)

    def _found(self, *what: Any) -> bytes:
        return results.encode_proxy(self._codec, *what)

    # objects go

    def release_references(self, left: Iterable[bytes]) -> None:
        """Clients take claims back: delete what nobody has one on."""
        for each in left:
            packed, client, claim = each.split(b" ")
            ident = packed.decode()
            with self._mutex:
                known = self._objects.get(ident)
                if known is None or known.references.get(client) != int(claim):
                    continue  # it was told again meanwhile
                del known.references[client]
                if known.references:
                    continue
                self._forget(ident)
            objects.end(self._session.handle(ident), self._host)

    def sweep(self) -> None:
        """Forget what was deleted, expired, or taken over."""
        idents = list(self._objects)
        for start in range(0, len(idents), CHECKED):
            chunk = idents[start : start + CHECKED]
            handles = [self._session.handle(ident) for ident in chunk]
            for ident, there in zip(chunk, objects.existing(handles, self._host), strict=True):
                each = self._objects.get(ident)
                if not there and each is not None and each.ready is None:
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
        """The process ends: delete all."""
        for ident in list(self._objects):
            self._end(ident)

    def _debug_info(self) -> str:
        with self._mutex:
            return "\n".join(
                f"  {ident}:       refcount={len(each.references)}\n    {str(each.referent)[:75]}"
                for ident, each in sorted(self._objects.items())
            )


def _takes_name(factory: Any) -> bool:
    """Whether ``name=`` is an argument of the callable itself."""
    import inspect  # slow, and seldom needed

    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):
        return False
    return any(each.name == "name" or each.kind is each.VAR_KEYWORD for each in parameters)
