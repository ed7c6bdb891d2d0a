"""Translate click's errors about the command line into lamina's.

Only a run that fails imports this module.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import click

from lamina.cli.group import group
from lamina.errors import InvalidArgument
from lamina.messages.redaction import clean_value, cut
from lamina.messages.suggestions import format_suggestion

_MAX_OWNERS = 12


def translate_usage_error(error: click.ClickException) -> InvalidArgument:
    """Return lamina's error for ``error``, with the command that shows the help as its hint."""
    if isinstance(error, click.NoSuchOption):
        return _translate_unknown_option(error)
    return _translate_message(error).add_hint(_format_help_hint(error))


def _translate_message(error: click.ClickException) -> InvalidArgument:
    text = error.format_message().rstrip(".")
    match error:
        case click.MissingParameter():
            return InvalidArgument(_format_parameter(error), "none", "one")
        case click.BadParameter():
            value, _, expected = error.message.rstrip(".").rpartition(" is not ")
            got = cut(clean_value(value)) if value else "another"
            return InvalidArgument(_format_parameter(error), got, expected)
        case click.BadOptionUsage():
            got, expected = ("no value", "one") if text.endswith("requires an argument") else ("a value", "none")
            return InvalidArgument(error.option_name, got, expected)
    extra = re.fullmatch(r"Got unexpected extra arguments? \((.*)\)", text, re.DOTALL)
    if extra:
        got = f"unexpected extra argument ({cut(clean_value(extra[1]))})"
        return InvalidArgument("usage", got, "no such thing")
    text = re.sub("'.*'", lambda found: cut(clean_value(found[0])), text, flags=re.DOTALL)
    return InvalidArgument(
        f"usage: {text[:1].lower()}{text[1:]}{'' if ', expected ' in text else ', expected no such thing'}"
    )


def _translate_unknown_option(error: click.NoSuchOption) -> InvalidArgument:
    """Name the commands that have the option, or else options of this command that are spelled like it."""
    name = cut(clean_value(error.option_name))
    if error.ctx is None:
        return InvalidArgument("usage", f"option {name}", "one of those that there are")
    command = error.ctx.command_path
    inner = list(_iterate_options(error.ctx.command)) if isinstance(error.ctx.command, click.Group) else []
    if any(error.option_name in options for _, options in inner):
        hint = f"write it at the end: {command} … {name}"
        return InvalidArgument(name, "it before the command", "it after the command", hint=hint)
    owners = [words for words, options in _iterate_options() if error.option_name in options]
    if owners:
        *first, last = owners
        hint = f"lamina {', '.join(first)} and {last} take it" if first else f"lamina {last} takes it"
        if len(owners) > _MAX_OWNERS:
            hint = f"commands such as lamina {owners[0]} take it"
        return InvalidArgument(name, f"an option that {command} does not use", "another command", hint=hint)
    suggestion = format_suggestion(error.option_name, _list_option_names(error.ctx.command))
    return InvalidArgument(
        "usage", f"option {name}", f"an option of {command}", hint=suggestion or _format_help_hint(error)
    )


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
