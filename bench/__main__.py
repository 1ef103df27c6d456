"""``python -m bench``: measure, print, write JSON, draw."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Do what the command line asks for."""
    options = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    # This tree is measured, whatever is installed; children find it by the same way.
    paths = [str(ROOT / "src"), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    sys.path.insert(0, paths[0])

    from bench.goals import print_goals
    from bench.report import print_results

    if options.read:
        document = json.loads(options.read.read_text())
    else:
        document = measure(options)
        target = options.json or ROOT / "bench" / "results" / f"{name_of(options)}.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(document, indent=1) + "\n")
    if not options.goals or not options.read:
        print_results(document)
    if options.goals:
        print_goals(document)
    whole = not (options.quick or options.only or options.goals or options.read)
    if path := options.png or (ROOT / "docs" / "bench.png" if whole else None):
        from bench.draw import draw

        draw(document, path)


def parse() -> argparse.Namespace:
    """Read the command line."""
    from bench.sections import SECTIONS

    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less of everything: about a minute")
    parser.add_argument(
        "--only", action="append", choices=SECTIONS, help="only this section (may be repeated)"
    )
    parser.add_argument("--mode", choices=("pinned", "unpinned"), help="only this mode")
    parser.add_argument("--rounds", type=int, help="exactly so many rounds of what has rounds")
    parser.add_argument(
        "--goals", action="store_true", help="print the goals, the numbers, and reached or missed"
    )
    parser.add_argument("--json", type=Path, help="where to write the results")
    parser.add_argument("--png", type=Path, help="where to draw; docs/bench.png after a whole run")
    parser.add_argument(
        "--read", type=Path, metavar="JSON", help="measure nothing, read an earlier run"
    )
    options = parser.parse_args()
    if options.rounds is not None and options.rounds < 1:
        parser.error("--rounds must be at least 1")
    return options


def name_of(options: argparse.Namespace) -> str:
    """Name the file of results: parts do not replace the whole."""
    if options.only or options.mode:
        return "part"
    return "quick" if options.quick else "full"


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run each mode in an interpreter of its own, and put the results together."""
    from bench.facts import machine_facts
    from bench.sections import SECTIONS

    sections = options.only or list(SECTIONS)
    modes = [options.mode] if options.mode else ["pinned", "unpinned"]
    document: dict[str, Any] = {
        "facts": machine_facts(),
        "settings": {"quick": options.quick, "rounds": options.rounds, "sections": sections},
        "modes": {},
    }
    for mode in modes:
        print(f"{mode}:", file=sys.stderr, flush=True)
        order = {
            "pinned": mode == "pinned",
            # The number of bytes does not depend on the cores: once is enough.
            "sections": [it for it in sections if it != "memory" or mode == modes[-1]],
            "quick": options.quick,
            "rounds": options.rounds,
        }
        result = run_phase(order)
        if "memory" in result:
            document["memory"] = result.pop("memory")
        document["modes"][mode] = result
    return document


def run_phase(order: dict[str, Any]) -> dict[str, Any]:
    """Run ``bench.phase``, ending it in order when this process is to end first."""
    phase = subprocess.Popen(
        [sys.executable, "-m", "bench.phase", json.dumps(order)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        output, _ = phase.communicate()
    except BaseException:
        phase.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            phase.wait(15)
        raise
    finally:
        if phase.poll() is None:
            phase.kill()
            phase.wait()
    if phase.returncode:
        raise SystemExit(f"bench: the run ended with status {phase.returncode}")
    result: dict[str, Any] = json.loads(output.splitlines()[-1])
    return result


if __name__ == "__main__":
    main()
