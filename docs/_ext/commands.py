"""The commands of ``multihost``, from what they say themselves: the directive ``commands``."""

from __future__ import annotations

import click
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

from multihost.cli import commands


def _options(command: click.Command) -> list[tuple[str, str]]:
    """The names and the help of each option."""
    context = click.Context(command)
    records = [option.get_help_record(context) for option in command.params]
    return [record for record in records if record and record[1]]


def _escaped(text: str) -> str:
    """Return plain text as reStructuredText: a star begins no emphasis."""
    return text.replace("*", "\\*")


class Commands(SphinxDirective):
    """The options that all have, and a section for each command: how it is called, what it does,
    and its own options.
    """

    def run(self) -> list[nodes.Node]:
        found = list(commands.commands.values())
        shared = [
            record
            for record in _options(found[0])
            if all(record in _options(command) for command in found)
        ]
        start = nodes.paragraph(text="All commands take these options:")
        return [start, self._list(shared), *(self._section(each, shared) for each in found)]

    def _section(self, command: click.Command, shared: list[tuple[str, str]]) -> nodes.Node:
        name = f"multihost {command.name}"
        section = nodes.section(ids=[nodes.make_id(name)], names=[name])
        section += nodes.title(text=name)
        usage = " ".join([name, *command.collect_usage_pieces(click.Context(command))])
        section += nodes.literal_block(usage, usage, language="none")
        for paragraph in (command.help or "").split("\n\n"):
            section += nodes.paragraph(text=" ".join(paragraph.split()))
        own = [record for record in _options(command) if record not in shared]
        section += self._list(own)
        return section

    def _list(self, options: list[tuple[str, str]]) -> nodes.Node:
        lines = [
            line
            for names, text in options
            for line in (f"``{names}``", f"    {_escaped(text)}", "")
        ]
        container = nodes.container()
        self.state.nested_parse(StringList(lines, source="multihost --help"), 0, container)
        return container


def setup(app: object) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("commands", Commands)  # type: ignore[attr-defined]
    return {"parallel_read_safe": True}
