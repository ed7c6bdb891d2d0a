"""A click group that imports only the command that runs."""

from __future__ import annotations

import gc
import importlib
import keyword
from collections.abc import Mapping
from typing import Any

import click

from lamina.messages.redaction import short_repr


class LazyGroup(click.Group):
    """The commands in ``package``: the module of each command's name holds it as ``command``.

    A command whose name is a keyword of Python, such as ``import``, lives in a module with ``_`` appended.

    Args:
        package: The package that holds the modules.
        noun: What the help and the errors call a command, such as ``verb``.
        summaries: Name → its line in the group's help, in the order of the help.
    """

    def __init__(self, *arguments: Any, package: str, noun: str, summaries: Mapping[str, str], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._package = package
        self._noun = noun
        self._summaries = summaries

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse as click does, except that a missing command is an error."""
        if not args:
            ctx.fail(f"got no {self._noun}, expected one of {', '.join(self._summaries)}")
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands, in the order of ``summaries``."""
        return list(self._summaries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return the command ``cmd_name``; return None if there is none of that name."""
        if cmd_name not in self._summaries:
            return None
        module = importlib.import_module(f"{self._package}.{cmd_name}{'_' * keyword.iskeyword(cmd_name)}")
        gc.freeze()  # modules stay to the end, so no collection has to look at them again
        gc.enable()
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the section of the help that lists the commands, without importing them."""
        with formatter.section(f"{self._noun.capitalize()}s"):
            formatter.write_dl(list(self._summaries.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve as click does, except that the error for an unknown command has lamina's form."""
        if args and args[0] not in self._summaries:
            ctx.fail(f"got {self._noun} {short_repr(args[0])}, expected one of {', '.join(self._summaries)}")
        return super().resolve_command(ctx, args)
