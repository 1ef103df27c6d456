"""What is explored: configurations of the model, and which rule shows itself where."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["LARGE", "MUTANTS", "SMALL", "Configuration", "Mutant"]

SMALLEST = "takes=1 slow=0"
NOTHING_CUT = "cut=0 background=0 part=0"


class Configuration(NamedTuple):
    """``states`` are how many there are at least: a model that cannot move has no wrong state."""

    name: str
    settings: str
    states: int


class Mutant(NamedTuple):
    """A rule that is left out, what is wrong then, and after how many steps."""

    rule: str
    settings: str
    wrong: str
    steps: int


SMALL = [
    Configuration("any fault", "faults=1", 179_000),
    Configuration("a step back", "faults=0 crashes=1 limit=300000", 300_000),
    Configuration("a record is lost", "wipe=1", 201_000),
    Configuration("half open in the background", "deaf=1", 186_000),
    Configuration("the server pauses", "pause=1", 192_000),
    Configuration("evidence is false", "assume=0", 187_000),
    Configuration("two elements", "n=2 takes=2", 100_000),
    Configuration("nothing may be fenced", "fence=0 kill=0 stop=0 part=0", 212_000),
    Configuration(
        "a ring of siblings",
        f"clients=3 siblings=7 ring=1 faults=2 {NOTHING_CUT} stop=0 limit=150000",
        150_000,
    ),
]

# Breadth first, up to the limit where there is one: no wrong state is nearer.
LARGE = [
    Configuration("a step back, to the end", "faults=0 crashes=1", 745_000),
    Configuration("slow heartbeats", "slow=1", 600_000),
    Configuration("a step back, slow heartbeats", "faults=0 crashes=1 slow=1", 2_000_000),
    Configuration("two takes each", "takes=2", 1_000_000),
    Configuration("a lease of three ticks", "L=3", 200_000),
    Configuration("nothing may be fenced", "fence=0", 600_000),
    Configuration("cut off and suspended", "faults=2 cut=0 background=0 kill=0", 3_000_000),
    Configuration(
        "a kill and a step back, with siblings",
        "faults=1 crashes=1 cut=0 background=0 part=0 stop=0 siblings=3",
        500_000,
    ),
    Configuration("three clients, two elements", "clients=3 n=2 part=0 stop=0", 300_000),
    Configuration(
        "a ring, two kills", f"clients=3 siblings=7 ring=1 faults=2 {NOTHING_CUT}", 10_000
    ),
    Configuration(
        "a ring and a step back",
        f"clients=3 siblings=7 ring=1 crashes=1 {NOTHING_CUT} stop=0",
        100_000,
    ),
    Configuration("a cut and a step back", "faults=1 crashes=1", 3_999_999),
    Configuration("release by another", "frees=1", 1_000_000),
]

TWO_HOLDERS = "S1: one believes to hold what the server does not know"
DOUBLED = "S2: elements lost or doubled"
GHOST = "S3: an element that nobody has"
TOKEN = "S4: a token does not rise"
REMOVED = "S5: a living session was removed"

MUTANTS = [
    Mutant("record not asked", "wipe=1", TWO_HOLDERS, 6),
    Mutant("record asked before the move", "wipe=1", TWO_HOLDERS, 6),
    Mutant("record asked before the token", "wipe=1", TOKEN, 11),
    Mutant("moved before the record is removed", "", TWO_HOLDERS, 11),
    Mutant("no settling", "crashes=1 faults=0", TOKEN, 7),
    Mutant("tokens not lifted", "crashes=1 faults=0", TOKEN, 7),
    Mutant("taking before settling", "crashes=1 faults=0", TWO_HOLDERS, 9),
    Mutant("reply of an earlier run counts", "crashes=1 faults=0", GHOST, 9),
    Mutant("measured over a restart", "crashes=1 faults=0", REMOVED, 22),
    Mutant("lease by the server's clock", "crashes=1 faults=0", REMOVED, 4),
    Mutant("no fence and the same place", "", GHOST, 4),
    Mutant("background connection only", "faults=2 kill=0 cut=0 background=0", REMOVED, 12),
    Mutant("no grace", "", REMOVED, 7),
    Mutant("removal without condition", "", REMOVED, 14),
    Mutant("a beat makes a record", "", TWO_HOLDERS, 13),
    Mutant("same name after a lapse", "", TWO_HOLDERS, 13),
    Mutant("given back by a push", "", GHOST, 13),
    Mutant(
        "release by another without a record",
        "clients=3 frees=1 part=0 stop=0 background=0 kill=0",
        "S1: released twice by another",
        6,
    ),
    Mutant("registration ends with the record", f"faults=2 looks=1 {NOTHING_CUT}", GHOST, 11),
    Mutant(
        "settling registers nothing,registration not asked",
        f"crashes=1 late=1 stop=0 {NOTHING_CUT}",
        GHOST,
        12,
    ),
    Mutant("heard late and not asked again", f"looks=1 kill=0 {NOTHING_CUT}", TWO_HOLDERS, 15),
    Mutant("a verdict outlives a restart", f"crashes=1 looks=1 kill=0 {NOTHING_CUT}", REMOVED, 14),
    Mutant(
        "a caller's way back renews nothing",
        "faults=2 looks=1 kill=0 cut=0 background=0 stop=0",
        REMOVED,
        9,
    ),
    Mutant(
        "measured while the server did not answer",
        f"pause=1 kill=0 stop=0 {NOTHING_CUT}",
        REMOVED,
        11,
    ),
    Mutant(
        "settling has no number",
        "crashes=1 fence=0 kill=0 stop=0 part=0 cut=0",
        TWO_HOLDERS,
        15,
    ),
    Mutant(
        "a missing element is made anew,registration ends with the record",
        f"clients=3 wipe=1 looks=1 kill=0 stop=0 {NOTHING_CUT}",
        DOUBLED,
        5,
    ),
]
