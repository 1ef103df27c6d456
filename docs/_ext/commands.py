"""The commands of ``multihost``, from what they say themselves: the directive ``commands``."""

from __future__ import annotations

import click
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

from multihost.cli import commands


class Commands(SphinxDirective):
    """A section for each command: how it is called, what it does, and its options."""

    def run(self) -> list[nodes.Node]:
        return [self._section(command) for command in commands.commands.values()]

    def _section(self, command: click.Command) -> nodes.Node:
        name = f"multihost {command.name}"
        section = nodes.section(ids=[nodes.make_id(name)])
        section += nodes.title(text=name)
        context = click.Context(command, info_name=name)
        usage = " ".join([name, *command.collect_usage_pieces(context)])
        section += nodes.literal_block(usage, usage, language="none")
        for paragraph in (command.help or "").split("\n\n"):
            section += nodes.paragraph(text=" ".join(paragraph.split()))
        section += self._options(command, context)
        self.state.document.note_explicit_target(section)
        return section

    def _options(self, command: click.Command, context: click.Context) -> nodes.Node:
        records = [
            record
            for parameter in command.get_params(context)
            if (record := parameter.get_help_record(context)) and "--help" not in record[0]
        ]
        lines = [line for names, text in records for line in (f"``{names}``", f"    {text}", "")]
        container = nodes.container()
        self.state.nested_parse(StringList(lines, source="multihost --help"), 0, container)
        return container


def setup(app: object) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("commands", Commands)  # type: ignore[attr-defined]
    return {"parallel_read_safe": True}
