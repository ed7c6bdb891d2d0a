"""Groups of commands: their help and errors, and one that imports only the command that runs."""

from __future__ import annotations

import gc
import importlib
import keyword
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from lamina.cli.command import HelpContext, write_examples, write_sections
from lamina.errors import InvalidArgument
from lamina.messages.redaction import short_repr
from lamina.messages.suggestions import find_similar, format_suggestion

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class CommandGroup(click.Group):
    """A group whose help lists its commands without importing them.

    Args:
        noun: The word for a command in the help and in errors, such as ``verb``.
        summaries: Name → its line in the group's help, in the order of the help.
        examples: Command lines for the help.
    """

    context_class = HelpContext

    def __init__(
        self, *arguments: Any, noun: str, summaries: Mapping[str, str], examples: Sequence[str] = (), **options: Any
    ) -> None:
        super().__init__(*arguments, **options)
        self.subcommand_metavar = f"{noun.upper()} ..."
        self.summaries = summaries
        self.examples = tuple(examples)
        self._noun = noun

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse as click does, except that a missing command is an error."""
        if not args and not ctx.resilient_parsing:
            expected = f"one of {', '.join(self.summaries)}"
            raise InvalidArgument("usage", f"no {self._noun}", expected, hint=f"{ctx.command_path} --help")
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands, in the order of ``summaries``."""
        return list(self.summaries)

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what the group is for, and its examples."""
        super().format_help_text(ctx, formatter)
        write_examples(self.examples, formatter)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, without importing them, and the options of the group."""
        commands = (f"{self._noun.capitalize()}s", list(self.summaries.items()))
        records = (parameter.get_help_record(ctx) for parameter in self.get_params(ctx))
        write_sections([commands, ("Options", [record for record in records if record])], formatter)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        """Return the commands that ``incomplete`` can become, without importing them, and the options of the group."""
        from click.shell_completion import CompletionItem

        names = [name for name in self.summaries if name.startswith(incomplete)]
        commands = [CompletionItem(name, help=self.summaries[name]) for name in names]
        return [*commands, *click.Command.shell_complete(self, ctx, incomplete)]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve as click does, except that the error for an unknown command has lamina's form."""
        if args and not args[0].startswith("-") and args[0] not in self.summaries and not ctx.resilient_parsing:
            raise InvalidArgument(
                "usage",
                f"{self._noun} {short_repr(args[0])}",
                f"one of {', '.join(self.summaries)}",
                hint=self._suggest(ctx, args[0]) or f"{ctx.command_path} --help",
            )
        return super().resolve_command(ctx, args)

    def _suggest(self, ctx: click.Context, word: str) -> str:
        """Return a hint with the commands that ``word`` may mean, which can be those of a group such as ``store``."""
        groups = {name: self.get_command(ctx, name) for name in self.summaries}
        inner = [
            (name, f"{ctx.command_path} {group_name} {name}")
            for group_name, group in groups.items()
            if isinstance(group, CommandGroup)
            for name in group.summaries
        ]
        near = find_similar(word, [name for name, _ in inner])
        found = [path for name, path in inner if name == word]
        if not found and not find_similar(word, self.summaries):
            found = [path for name, path in inner if name in near]
        return f"did you mean {' or '.join(found)}?" if found else format_suggestion(word, self.summaries)


class LazyGroup(CommandGroup):
    """The commands in ``package``: the module of each command's name holds it as ``command``.

    A command whose name is a keyword of Python, such as ``import``, lives in a module with ``_`` appended.

    Args:
        package: The package that holds the modules.
    """

    def __init__(self, *arguments: Any, package: str, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._package = package

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return the command ``cmd_name``; return None if no command has that name."""
        if cmd_name not in self.summaries:
            return None
        module = importlib.import_module(f"{self._package}.{cmd_name}{'_' * keyword.iskeyword(cmd_name)}")
        gc.freeze()  # modules stay to the end, so no collection has to look at them again
        gc.enable()
        command: click.Command = module.command
        return command
