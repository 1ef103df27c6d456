"""Operations that the server executes as one step: Lua scripts with a checked header."""

from multihost.wire.script.fitness import UNLIKE, check_server, info, probe
from multihost.wire.script.script import CommandPrefix, Script, Target
from multihost.wire.script.staged import is_too_long
from multihost.wire.script.transaction import transaction

__all__ = [
    "UNLIKE",
    "CommandPrefix",
    "Script",
    "Target",
    "check_server",
    "info",
    "is_too_long",
    "probe",
    "transaction",
]
