"""Complete the values of options and arguments in a shell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

Completer = Callable[[click.Context, click.Parameter, str], "list[CompletionItem[str]]"]
_KINDS = {"file": "file", "folder": "dir"}


def make_completer(completion: str | Sequence[str]) -> Completer | None:
    """Return click's callback that offers the values that ``completion`` describes.

    Args:
        completion: ``file`` or ``folder`` for the names of files or folders; or a list of words, of which a value may
            have several, with commas between them. If no word matches, files are offered. Empty to offer nothing.

    """
    if not completion:
        return None

    def complete(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
        """Return the values that begin with ``incomplete``."""
        from click.shell_completion import CompletionItem

        if isinstance(completion, str):
            return [CompletionItem(incomplete, type=_KINDS[completion])]
        before, comma, last = incomplete.rpartition(",")
        found = [CompletionItem(before + comma + text) for text in completion if text.startswith(last)]
        return found or [CompletionItem(incomplete, type="file")]

    return complete


def complete_commands(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Return the commands that can follow the words of ``lamina help`` so far."""
    group = (ctx.parent or ctx).command
    for name in ctx.params.get(parameter.name or "") or ():
        inner = group.get_command(ctx, name) if isinstance(group, click.Group) else None
        if inner is None:
            return []
        group = inner
    return group.shell_complete(ctx, incomplete) if isinstance(group, click.Group) else []
