"""Translate click's errors about the command line into lamina's.

Only a run that fails imports this module.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import click

from lamina.cli.group import group
from lamina.errors import InvalidArgument
from lamina.messages.redaction import clean_value, cut
from lamina.messages.suggestions import format_suggestion

_MAX_OWNERS = 12
# What other commands call that which an option is for.
_OTHER_NAMES: Mapping[str, Sequence[str]] = {
    "-o": ("--to",),
    "--output": ("--to",),
    "--to": ("--output", "--store"),
    "--architecture": ("--platform",),
    "--key": ("--trusted-key",),
    "--trusted-key": ("--key",),
}
# What a command has in place of an option that others have.
_REPLACEMENTS = {
    ("lamina store gc", "--keep"): "name what to keep as ROOT, such as lamina store gc hello",
    ("lamina layout prune", "--all"): "without --keep and --keep-last all images stay; remove the folder instead",
    ("lamina cache clean", "--dry-run"): "lamina cache info shows what is there",
    ("lamina cache prune", "--dry-run"): "lamina cache info shows what is there",
}


def translate_usage_error(error: click.ClickException, arguments: Sequence[str]) -> InvalidArgument:
    """Return lamina's error for ``error``, with a hint; ``arguments`` are the words of the command line."""
    if isinstance(error, click.NoSuchOption):
        return _translate_unknown_option(error, arguments)
    return _translate_other(error).add_hint(_format_help_hint(error))


def _translate_other(error: click.ClickException) -> InvalidArgument:
    match error:
        case click.MissingParameter():
            return InvalidArgument(_format_parameter(error), "none", "one")
        case click.BadOptionUsage():
            got, expected = ("a value", "none") if _is_flag(error) else ("no value", "one")
            return InvalidArgument(error.option_name, got, expected)
        case click.BadParameter():
            return InvalidArgument(_format_parameter(error), cut(clean_value(error.message)), "another value")
    return InvalidArgument("usage", cut(clean_value(error.format_message())), "a command line as the help shows it")


def _is_flag(error: click.BadOptionUsage) -> bool:
    parameters = error.ctx.command.get_params(error.ctx) if error.ctx else []
    return any(isinstance(one, click.Option) and one.is_flag and error.option_name in one.opts for one in parameters)


def _translate_unknown_option(error: click.NoSuchOption, arguments: Sequence[str]) -> InvalidArgument:
    """Say where the option belongs, what this command has instead, which commands have it, or which one is near."""
    name = cut(clean_value(error.option_name))
    if error.ctx is None:
        return InvalidArgument("usage", f"option {name}", "one of those that there are")
    command = error.ctx.command_path
    own = _list_option_names(error.ctx.command)
    if isinstance(error.ctx.command, click.Group):
        inner = [words for words, options in _iterate_options(error.ctx.command) if error.option_name in options]
        if inner:
            hint = f"write it after the command: {command} {_choose_command(inner, arguments)} {name}"
            return InvalidArgument(name, "it before the command", "it after the command", hint=hint)
    got = f"an option that {command} does not use"
    other = next((known for known in _OTHER_NAMES.get(error.option_name, ()) if known in own), "")
    if other:
        return InvalidArgument(name, got, other, hint=f"did you mean {other}?")
    replacement = _REPLACEMENTS.get((command, error.option_name))
    if replacement:
        return InvalidArgument(name, got, "one of its own", hint=replacement)
    owners = [words for words, options in _iterate_options() if error.option_name in options]
    if owners:
        *first, last = owners
        hint = f"lamina {', '.join(first)} and {last} take it" if first else f"lamina {last} takes it"
        if len(owners) > _MAX_OWNERS:
            hint = f"commands such as lamina {owners[0]} take it"
        return InvalidArgument(name, got, "one of its own", hint=hint)
    suggestion = format_suggestion(error.option_name, own)
    return InvalidArgument(
        "usage", f"option {name}", f"an option of {command}", hint=suggestion or _format_help_hint(error)
    )


def _choose_command(commands: Sequence[str], arguments: Sequence[str]) -> str:
    """Return the one of ``commands`` that stands in ``arguments``, or else the first."""
    given = [word for word in arguments if not word.startswith("-")]
    lines = (" ".join(given[start:]) for start in range(len(given)))
    return next((words for line in lines for words in commands if f"{line} ".startswith(f"{words} ")), commands[0])


def _iterate_options(found: click.Command = group, words: str = "") -> Iterator[tuple[str, list[str]]]:
    """Yield the words of every command, and the names of its options."""
    if not isinstance(found, click.Group):
        yield words, _list_option_names(found)
        return
    context = found.context_class(found)
    for name in found.list_commands(context):
        inner = found.get_command(context, name)
        if inner is not None:
            yield from _iterate_options(inner, f"{words} {name}".lstrip())


def _list_option_names(command: click.Command) -> list[str]:
    """Return the names of the options of ``command`` that its help shows."""
    return [
        name
        for parameter in command.get_params(command.context_class(command))
        if isinstance(parameter, click.Option) and not parameter.hidden
        for name in parameter.opts
    ]


def _format_parameter(error: click.BadParameter) -> str:
    name = error.param.get_error_hint(error.ctx) if error.param and error.ctx else error.param_hint or "usage"
    return str(name).replace("'", "")


def _format_help_hint(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    return f"{context.command_path if context else 'lamina'} --help"
