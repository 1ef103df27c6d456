"""The table of what servers answer instead of doing what they were asked to do.

The replies are those of the sources of Redis 6.2 to 8 and of Valkey 7.2 to 9, as a client sees
them: plain, in a script as each version wraps it, and at the end of a transaction.
"""

from __future__ import annotations

import pytest

from multihost import errors
from multihost.wire.replies import ReplyError, to_exception

REFUSALS = [
    "ASK 3999 127.0.0.1:6381",
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    "BUSY Valkey is busy running a module command.",
    "BUSYGROUP Consumer Group name already exists",
    "BUSYKEY Target key name already exists.",
    "CLUSTERDOWN Hash slot not served",
    "CLUSTERDOWN The cluster is down and only accepts read commands",
    "CROSSSLOT Keys in request don't hash to the same slot",
    "DENIED Running in protected mode because protected mode is enabled",
    "EXECABORT Transaction discarded because of previous errors.",
    "INPROG Failover already in progress",
    "INVALIDOBJ Corrupted HLL object detected",
    "IOERR error or timeout connecting to the client",
    "LOADING Valkey is loading the dataset in memory",
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "MISCONF Errors writing to the AOF file: No space left on device",
    "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist",
    "MOVED 3999 127.0.0.1:6381",
    "NOAUTH Authentication required.",
    "NOGOODSLAVE No suitable replica to promote",
    "NOGROUP No such consumer group 'g' for key name 'k'",
    "NOMASTERLINK Can't SYNC while not connected with my master",
    "NOPERM User bob has no permissions to run the 'set' command",
    "NOPERM this user has no permissions to access one of the keys used as arguments",
    "NOPROTO unsupported protocol version",
    "NOQUORUM 1 usable Sentinels. Not enough available Sentinels to reach the majority",
    "NOREPL Not enough replicas",
    "NOREPLICAS Not enough good replicas to write.",
    "NOREPLICAS Not enough good slaves to write.",
    "OREPLICAS Not enough good replicas to write.",
    "NOSCRIPT No matching script. Please use EVAL.",
    "NOSUB 'UNSUBSCRIBE' command executed not in subscribed mode",
    "NOTBUSY No scripts in execution right now.",
    "OOM command not allowed when used memory > 'maxmemory'.",
    "OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'",
    "READONLY You can't write against a read only replica.",
    "READONLY Can not run script with write flag on readonly replica",
    "REDIRECT 127.0.0.1:6380",
    "TESTFAILED sparse encoding not used",
    "TRYAGAIN Multiple keys request during rehashing of slot",
    "UNBLOCKED force unblock from blocking operation, instance state changed",
    "UNBLOCKED client unblocked via CLIENT UNBLOCK",
    "UNKILLABLE Sorry the script already executed write commands against the dataset.",
    "WRONGPASS invalid username-password pair or user is disabled.",
    "WRONGTYPE Operation against a key holding the wrong kind of value",
    "SOMETHINGNEW of a release to come",
    "ERR ACL failure in script: User bob has no permissions to run the 'set' command",
    "ERR DB index is out of range",
    "ERR FAILOVER already in progress.",
    "ERR Protocol error: invalid bulk length",
    "ERR Protocol error: invalid multibulk length",
    "ERR Protocol error: too big bulk count string",
    "ERR Protocol error: too big mbulk count string",
    "ERR Protocol error: unauthenticated bulk length",
    "ERR Protocol error: unauthenticated multibulk length",
    "ERR SELECT is not allowed in cluster mode",
    "ERR Script attempted to access a non local key in a cluster node",
    "ERR The user executing the script can't run this command or subcommand",
    "ERR This Redis command is not allowed from script",
    "ERR Unknown Redis command called from script",
    "ERR Unknown command called from script",
    "ERR unknown command 'BLMOVE', with args beginning with: 'a' 'b'",
    "ERR unknown command `LMOVE`, with args beginning with: ",
    "ERR unknown subcommand 'NO-EVICT'. Try CLIENT HELP.",
    "ERR Server is shutting down",
    "ERR Script killed by user with SCRIPT KILL.",
    "ERR invalid DB index",
    "ERR max number of clients + cluster connections reached",
    "ERR max number of clients reached",
    "ERR operation not permitted",
    "ERR string exceeds maximum allowed size (proto-max-bulk-len)",
]

SHA = "0123456789012345678901234567890123456789"
WRAPPINGS = [
    "{0}",
    f"ERR Error running script (call to f_{SHA}): @user_script:7: @user_script: 7: -{{0}}",
    f"ERR Error running script (call to f_{SHA}): @user_script:7: {{0}}",
    f"{{0}} script: {SHA}, on @user_script:7.",
    "{0} script: on @user_script:7.",
    "EXECABORT Transaction discarded because of: {0}",
]
TARGETS = [
    ("queue/enqueue_getter", "n:crawl:urls", "the queue 'crawl:urls'"),
    ("lock/try_acquire", "u:aB3-_x", "an unnamed lock"),
    ("hosted/host_of", "n:crawl:urls", "the object 'crawl:urls'"),
    ("host/reap", "h:aB3-_x", "a host of objects"),
    ("session/enter", "{work:07}:s:aB3-_x", "the namespace 'work'"),
    ("lpush", "{work:07}:n:crawl%3Aurls:tokens", "the object 'crawl:urls'"),
    ("server/transaction", "the server", "the server"),
]


@pytest.mark.parametrize("wrapping", WRAPPINGS)
@pytest.mark.parametrize("text", REFUSALS)
def test_what_a_server_refuses_is_no_fault_of_ours(text: str, wrapping: str) -> None:
    for operation, subject, shown in TARGETS:
        error = to_exception(ReplyError(wrapping.format(text)), operation, subject)
        said = str(error)
        assert isinstance(error, errors.MultihostError)
        assert not isinstance(error, errors.InternalError), said
        assert said.startswith(f"{shown}: "), said
        assert "; " in said or text == "ERR Server is shutting down", "what can be done about it"
        for internal in (operation, "user_script", SHA, "f_0", "{", ".lua"):
            assert internal not in said or operation == "lpush"


@pytest.mark.parametrize("wrapping", WRAPPINGS)
@pytest.mark.parametrize("text", REFUSALS)
def test_a_wrapped_refusal_is_the_same(text: str, wrapping: str) -> None:
    plain, wrapped = ReplyError(text), ReplyError(wrapping.format(text))
    assert wrapped.refusal == plain.refusal
    assert wrapped.is_transient == plain.is_transient


@pytest.mark.parametrize(
    "text",
    [
        "ERR syntax error",
        "ERR value is not an integer or out of range",
        "ERR wrong number of arguments for 'hset' command",
        "ERR user_script:7: attempt to index a nil value script: 0a, on @user_script:7.",
        "STALE a later request was executed",
    ],
)
def test_an_error_of_a_script_or_its_arguments_is_ours(text: str) -> None:
    error = to_exception(ReplyError(text), "queue/put", "n:urls")
    assert isinstance(error, errors.InternalError)
    assert "queue/put" in str(error), "that is what a report needs"
