"""What is explored of lifetimes, and which rule shows itself where."""

from __future__ import annotations

from tests.model.configurations import Configuration, Mutant

__all__ = ["LARGE", "LAXER", "LIMIT", "MUTANTS", "SMALL"]

LIMIT = 60_000_000

# Objects in a name, in a cycle, with a lease, and held by one who may be paused.
STARTS = "start=+b.ba.0b start=Ab.ba.0b start=0a.1b.ab.ba"
ALONE = "clients=1 ticks=1 looks=1"
STARTED = "clients=3 unborn=2 unnamed=1 mail=2 ticks=0 looks=0"  # by others, with what these have
TWO_LOOKS = "clients=1 ticks=1 looks=2 collectors=2"

SMALL = [
    Configuration("puts and looks", f"ops=1 ticks=3 looks=1 naps=1 {STARTS}", 300_000),
    Configuration(
        "two looks at once",
        "ops=1 ticks=1 looks=2 collectors=2 clients=1 start=+b.ba.~0.0b start=Ab.ba.0b",
        100_000,
    ),
    Configuration(
        "messages, pieces",
        "ops=2 ticks=2 looks=1 mail=2 pieces=1 clients=1 invariants=1 start=@a.ab start=+b.ba.0b",
        10_000,
    ),
    Configuration(
        "letting go of what others were given",
        "ops=5 ticks=1 looks=0 mail=2 naps=1 clients=3 unborn=2 unnamed=1 start=0a",
        50_000,
    ),
    Configuration(
        "given and stored, and a look",
        "ops=2 ticks=1 looks=1 mail=2 clients=3 unborn=1 invariants=1 start=0a.0b",
        40_000,
    ),
    Configuration(
        "stored in what was just stored", "ops=2 ticks=3 looks=1 start=0a.1b.0b", 200_000
    ),
    Configuration(
        "the clock goes back, partitions forget",
        "ops=1 ticks=2 looks=2 backs=1 forgets=1 clients=1 start=Aa.ab.0a start=+b.ba.0b",
        10_000,
    ),
    Configuration(
        "the server is away", "ops=1 ticks=2 looks=2 outages=1 naps=1 clients=1 start=0a.ab", 5_000
    ),
    Configuration(
        "the server forgets its last writes",
        "ops=1 ticks=2 looks=1 crashes=1 naps=1 lose=3 clients=1 start=0a.ab start=Ab.ba.0b",
        10_000,
    ),
]

WIDE = "names=2 unnamed=3 collectors=2 symmetry=1 ops=1 ticks=2 looks=2"
WALKS = "names=2 unnamed=4 clients=3 collectors=2 ops=8 ticks=6 looks=4 naps=2 pieces=1"
TANGLED = (
    "start=Aa.ab.bc.0b.1d start=0a.ab.1c.cd.2b start=Ab.ba.cd.dc.0d.1a.2c start=+d.dc.cb.ba.0d.1b"
)
LARGE = [
    Configuration("a cycle in a name", f"{WIDE} naps=1 start=Ab.bc.ca.0b.1c", 9_000_000),
    Configuration("what two hold, two looks", f"{WIDE} start=0a.ab.1b.Bc", 3_500_000),
    Configuration(
        "messages, pieces, two looks, the clock goes back",
        f"{WIDE} naps=1 pieces=1 mail=2 backs=1 start=Ab.bc.0b",
        4_000_000,
    ),
    Configuration(
        "letting go of two that others were given",
        "ops=5 ticks=1 looks=0 mail=2 clients=3 unborn=2 start=0a.0b start=0a.ab",
        4_000_000,
    ),
    Configuration(
        "letting go, and the server forgets its last writes",
        "ops=6 ticks=2 looks=0 mail=2 crashes=1 lose=3 clients=3 unborn=2 unnamed=1 start=0a",
        3_500_000,
    ),
    Configuration("walks", f"walks=300000 mail=2 backs=1 outages=1 {WALKS} {TANGLED}", 0),
    Configuration("walks with crashes", f"walks=300000 crashes=1 lose=3 {WALKS} {TANGLED}", 0),
]

REMOVED = "S1: something reachable was removed"
HAS_LEASE = "S2: a name leads to something with a lease"
REFUSED = "S3: a living process was refused what is there"
STUCK = "L1: a put never ends"
LEAKED = "L2: something unreachable stays"

MUTANTS = [
    Mutant("a put needs no stamp", "clients=1 ops=1 ticks=3 looks=1 naps=1 start=0a", REMOVED, 20),
    Mutant("kept without what it contains", "clients=1 ops=1 looks=0 start=0a.ab", HAS_LEASE, 2),
    Mutant(
        "a renewal does not go below what is partial",
        "clients=1 ops=1 looks=0 start=0a.ab",
        REMOVED,
        5,
    ),
    Mutant(
        "keep does not know the epoch that is wanted",
        "clients=1 ops=1 ticks=0 looks=1 start=0a",
        STUCK,
        3,
    ),
    Mutant("keep holds nothing", "clients=1 ops=1 naps=1 start=+a.~0.0a", LEAKED, 16),
    Mutant("what is removed is not noted", f"{ALONE} ops=2 reasons=0 start=Aa", REFUSED, 16),
    Mutant(
        "what is fetched is renewed a tick later",
        "clients=1 ops=1 mail=2 looks=0 start=@a",
        REMOVED,
        2,
    ),
    Mutant("sent without a renewal", "clients=1 ops=2 mail=2 looks=0 start=@a", REMOVED, 3),
    Mutant("what is held is no root", "clients=1 ops=1 ticks=0 start=0a", REMOVED, 1),
    Mutant("a renewal does not mark", f"{ALONE} ops=0 start=%b.ba.%a.~0.0b", REMOVED, 23),
    Mutant(
        "whole though something below is lost",
        f"{ALONE} ops=1 ticks=0 start=%b.ba.%a.~0.0b",
        REMOVED,
        25,
    ),
    Mutant("what is lost is not refused", f"{ALONE} ops=0 start=+a.ab.~0.0a", REMOVED, 23),
    Mutant("let go though it was given away uncounted", f"{STARTED} ops=3 start=0a", REMOVED, 3),
    Mutant("who lets go does not say how many he gave", f"{STARTED} ops=3 start=0a", REMOVED, 3),
    Mutant("what all gave is one number", f"{STARTED} ops=4 start=0a", REMOVED, 4),
    Mutant("let go of twice", f"{STARTED} ops=5 start=0a", REMOVED, 6),
    Mutant("who is not counted gives a counted gift", f"{STARTED} ops=6 start=0a", REMOVED, 8),
    Mutant("a counted gift goes to anyone", f"{STARTED} ops=3 start=0a", REMOVED, 4),
    Mutant("a counted gift is received twice", f"{STARTED} ops=5 start=0a", REMOVED, 6),
    Mutant(
        "black in an epoch that has not begun",
        "clients=1 ops=2 ticks=3 looks=1 start=0a.0b",
        REMOVED,
        31,
    ),
    Mutant(
        "an epoch is not above what is marked",
        f"{ALONE} ops=1 crashes=1 lose=3 start=0a",
        LEAKED,
        7,
    ),
    Mutant("two looks have one epoch", f"{TWO_LOOKS} ops=0 start=+b.ba.~0.0b", REMOVED, 26),
    Mutant(
        "a partition forgets its epoch",
        f"{ALONE} ops=0 forgets=1 start=%b.ba.%a.~0.0b",
        REMOVED,
        24,
    ),
    Mutant("what was removed is not asked for", f"{ALONE} ops=2 start=Aa", REFUSED, 12),
    Mutant(
        "what was removed is asked for first",
        f"{ALONE} unnamed=3 ops=2 pieces=1 start=+c.cb.0c",
        REFUSED,
        21,
    ),
    Mutant("a step is repeated,black when told", f"{ALONE} ops=0 start=+a.ab.0a", REMOVED, 23),
    Mutant("no settling", f"{ALONE} ops=0 start=+b.ba.~0.0b", REMOVED, 19),
    Mutant("settled though something is grey", f"{ALONE} ops=0 start=+a.ab.~0.0a", REMOVED, 23),
    Mutant("a look that was overtaken sweeps", f"{TWO_LOOKS} ops=0 start=+b.ba.~0.0b", REMOVED, 26),
    Mutant(
        "a sweep passes over what another has begun",
        f"{TWO_LOOKS} ops=0 start=+a.ab.~0.0a",
        REMOVED,
        26,
    ),
    Mutant("a look goes on after a break", f"{ALONE} ops=0 crashes=1 start=+a.0a", REFUSED, 16),
    Mutant("a look begins behind a start", f"{ALONE} ops=0 outages=1 start=+a.0a", REFUSED, 15),
    Mutant(
        "not kept again after a break",
        "clients=1 ops=1 ticks=0 looks=0 crashes=1 start=0a",
        HAS_LEASE,
        4,
    ),
    Mutant(
        "not renewed after a break",
        "clients=1 ops=0 ticks=2 looks=0 naps=1 crashes=1 start=0a",
        REMOVED,
        5,
    ),
    Mutant(
        "trimmed by the time of the beginning",
        "clients=1 ops=2 ticks=1 looks=2 reasons=0 backs=1 start=Aa",
        REFUSED,
        34,
    ),
    Mutant(
        "trimmed though it lapsed during the look",
        "clients=1 ops=0 ticks=3 looks=1 start=+a.0a",
        LEAKED,
        19,
    ),
    Mutant(
        "an unfinished look is no reason", "clients=1 ops=1 ticks=3 looks=1 start=Aa", LEAKED, 18
    ),
    Mutant("what was cut is no reason", f"{ALONE} ops=1 ticks=0 start=Aa", LEAKED, 1),
]

# Rules of order, without which nothing is wrong: the code may do it either way.
LAXER = [
    Configuration("begun one by one", f"ops=1 ticks=2 looks=1 naps=1 pieces=1 {STARTS}", 50_000),
    Configuration(
        "no round behind what was removed",
        f"ops=1 ticks=2 looks=1 naps=1 pieces=1 {STARTS}",
        50_000,
    ),
    Configuration("black when told", f"ops=1 ticks=2 looks=1 naps=1 pieces=1 {STARTS}", 50_000),
]
