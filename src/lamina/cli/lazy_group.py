"""A group of commands that imports none of them but the one that runs."""

from __future__ import annotations

import importlib
import keyword
from collections.abc import Mapping
from typing import Any

import click

from lamina.messages.redaction import short_repr


class LazyGroup(click.Group):
    """The commands in ``package``, each the ``command`` of the module of its name.

    ``summaries`` is what the group's help says of each, ``noun`` what they are called there. A name that Python keeps
    for itself is that of a module with ``_`` behind it.
    """

    def __init__(self, *arguments: Any, package: str, noun: str, summaries: Mapping[str, str], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._package = package
        self._noun = noun
        self._summaries = summaries

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does, but that no argument is an error."""
        if not args:
            ctx.fail(f"got no {self._noun}, expected one of {', '.join(self._summaries)}")
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names, in the table's order."""
        return list(self._summaries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported; None where there is none."""
        if cmd_name not in self._summaries:
            return None
        module = importlib.import_module(f"{self._package}.{cmd_name}{'_' * keyword.iskeyword(cmd_name)}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """What the help says of them."""
        with formatter.section(f"{self._noun.capitalize()}s"):
            formatter.write_dl(list(self._summaries.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, but with an error of lamina's own."""
        if args and args[0] not in self._summaries:
            ctx.fail(f"got {self._noun} {short_repr(args[0])}, expected one of {', '.join(self._summaries)}")
        return super().resolve_command(ctx, args)
