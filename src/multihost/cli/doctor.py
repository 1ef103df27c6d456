"""``multihost doctor``."""

from __future__ import annotations

import click

from multihost.cli import output
from multihost.cli.options import Target, as_json, server
from multihost.errors import ServerUnfit
from multihost.inspection import Finding, examine

__all__ = ["doctor"]

STYLES = {"ok": "green", "note": "yellow", "problem": "bold red", "unknown": "cyan"}


@click.command()
@as_json
@server
def doctor(target: Target, as_json: bool) -> int:
    """Examine a server, and advise what to change.

    Exits with 1 if there is a problem. Changes nothing on the server.
    """
    try:
        with target.open() as session:
            findings = examine(session)
    except ServerUnfit as error:
        findings = [Finding("version", "problem", str(error), "use Redis 6.2, Valkey or newer")]
    problems = sum(finding.verdict == "problem" for finding in findings)
    if as_json:
        output.print_json({"fit": not problems, "findings": findings})
    else:
        _print(findings)
    return 1 if problems else 0


def _print(findings: list[Finding]) -> None:
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2, 0, 0))
    for _ in range(3):
        grid.add_column(overflow="fold")
    for finding in findings:
        style = STYLES[finding.verdict]
        found = Text(output.plain(finding.found))
        grid.add_row(Text(finding.verdict, style=style), Text(finding.check), found)
        if finding.advice:
            grid.add_row("", "", Text(f"-> {output.plain(finding.advice)}", style="italic"))
    output.print_rich(grid)
