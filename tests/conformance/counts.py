"""How many of CPython's tests ran on our proxies, by the way in which they start processes."""

from __future__ import annotations

import re
import sys
from collections import Counter
from typing import Any

__all__ = ["print_counts"]

HERE = "tests/conformance/"
METHOD = re.compile(r"(Fork|Spawn)::")
OUTCOMES = ("passed", "failed", "error", "skipped", "xfailed", "xpassed")


def print_counts(terminalreporter: Any) -> None:
    """One line for each start method, if any of these tests ran."""
    counts: dict[str, Counter[str]] = {}
    for outcome in OUTCOMES:
        for report in terminalreporter.stats.get(outcome, []):
            nodeid = getattr(report, "nodeid", "")
            if nodeid.startswith(HERE):
                found = METHOD.search(nodeid)
                method = found[1].lower() if found else "no processes"
                counts.setdefault(method, Counter())[outcome] += 1
    for method, count in sorted(counts.items()):
        ran = count.total() - count["skipped"]
        wrong = count["failed"] + count["error"] + count["xpassed"]
        terminalreporter.write_line(
            f"CPython {sys.version.split()[0]} conformance, {method}: {ran} ran, "
            f"{count['passed']} passed, {count['xfailed']} listed as known differences, "
            f"{wrong} failed, {count['skipped']} skipped"
        )
