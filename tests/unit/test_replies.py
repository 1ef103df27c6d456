"""Error replies and their exceptions."""

from __future__ import annotations

import pytest

from multihost import errors
from multihost.wire.replies import MustKeep, ReplyError, to_exception


@pytest.mark.parametrize(
    ("reply", "kind", "also"),
    [
        ("GONE the dict does not exist", errors.ObjectGone, ReferenceError),
        ("OOM command not allowed when used memory > 'maxmemory'.", errors.ServerFull, MemoryError),
        ("NOPERM this user has no permissions", errors.AccessDenied, ConnectionError),
        ("ERR The user executing the script can't run", errors.AccessDenied, ConnectionError),
        (
            "ERR Error running script (call to f_0a): @user_script:36: @user_script: 36: -OOM no",
            errors.ServerFull,
            MemoryError,
        ),
        (
            "ERR Error running script (call to f_0a): @user_script:1: WRONGTYPE Operation",
            errors.BadPayload,
            ValueError,
        ),
        (
            "ERR Error running script (call to f_0a): @user_script:1: attempt to index - A nil",
            errors.InternalError,
            RuntimeError,
        ),
        (
            "EXECABORT Transaction discarded because of: NOPERM User bob has no permissions",
            errors.AccessDenied,
            ConnectionError,
        ),
        (
            "EXECABORT Transaction discarded because of previous errors.",
            errors.ServerUnfit,
            ConnectionError,
        ),
        ("ERR ACL failure in script: User bob has no", errors.AccessDenied, ConnectionError),
        ("NOAUTH Authentication required.", errors.AccessDenied, ConnectionError),
        ("WRONGPASS invalid username-password pair", errors.AccessDenied, ConnectionError),
        ("WRONGTYPE Operation against a key", errors.BadPayload, ValueError),
        ("MISCONF Redis is configured to save", errors.ServerUnfit, ConnectionError),
        ("ERR something new", errors.InternalError, RuntimeError),
        ("KEEP 17", MustKeep, Exception),
    ],
)
def test_each_code_has_its_exception(reply: str, kind: type, also: type) -> None:
    error = to_exception(ReplyError(reply), "dict/set", "n:results")
    assert type(error) is kind
    assert isinstance(error, also)
    assert isinstance(error, errors.MultihostError)
    if kind is errors.InternalError:
        assert str(error).endswith(" (in dict/set)"), "it is to be reported"
    if kind is not MustKeep:
        assert str(error).startswith("the dict 'results': ")


@pytest.mark.parametrize(
    "code", ["LOADING", "BUSY", "MASTERDOWN", "READONLY", "TRYAGAIN", "CLUSTERDOWN"]
)
def test_a_server_that_is_unavailable_gets_the_request_again(code: str) -> None:
    assert ReplyError(f"{code} wait a moment").is_transient
    assert ReplyError(f"{code} wait a moment").code == code


@pytest.mark.parametrize("text", ["ERR LOADING", "OOM full", "NOSCRIPT no", ""])
def test_other_errors_are_final(text: str) -> None:
    assert not ReplyError(text).is_transient


def test_our_errors_are_errors_of_the_standard_library_too() -> None:
    import multiprocessing

    assert issubclass(errors.AccessDenied, multiprocessing.AuthenticationError)
    for name in errors.__all__:
        kind = getattr(errors, name)
        # That of queue where there is one; and a warning.
        if kind in (errors.ShutDown, errors.UnverifiedServer):
            continue
        assert issubclass(kind, errors.MultihostError)
        said = str(kind())
        assert said == kind.__doc__, "the docstring is the default message"
        assert str(kind("what happened")) == "what happened"
