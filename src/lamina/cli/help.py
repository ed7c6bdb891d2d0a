"""``lamina help``."""

from __future__ import annotations

import click

from lamina.cli.command import verb
from lamina.cli.completers import complete_commands
from lamina.errors import InvalidArgument
from lamina.messages.redaction import short_repr


@verb("help", "lamina help build", "lamina help store fetch")
@click.argument(
    "names", metavar="[VERB]...", nargs=-1, help="The verb, with the command of it.", shell_complete=complete_commands
)
@click.pass_context
def command(ctx: click.Context, names: tuple[str, ...]) -> None:
    """Show the help of a VERB, or that of lamina."""
    found = ctx.parent or ctx
    for name in names:
        group = found.command
        if not isinstance(group, click.Group):
            raise InvalidArgument("usage", f"{short_repr(name)} after {found.command_path}", "no such word")
        resolved, inner, _ = group.resolve_command(found, [name])
        if inner is not None:
            found = inner.context_class(inner, parent=found, info_name=resolved)
    click.echo(found.get_help(), color=found.color)
