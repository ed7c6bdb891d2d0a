"""Options that several verbs share: the values of each group reach the verb as one object.

The flags of arguments come from the table in `lamina.inputs.spec`. An option that the user does not give is not passed
on, so that the API's own default holds.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

import click

from lamina.errors import InvalidArgument
from lamina.inputs.declarations import Flag, list_arguments
from lamina.inputs.spec import Spec

Command = Callable[..., Any]
Decorator = Callable[[Command], Command]

ARGUMENTS = list_arguments(Spec)


def group_options(keyword: str, make: Callable[..., object], *options: Decorator) -> Decorator:
    """Return a decorator that adds click's ``options`` to a command, which gets one object for all of them.

    Args:
        keyword: the command's parameter for the object.
        make: makes the object of the values, by keyword.
        options: click's decorators, in the order of the help.

    """

    def decorate(command: Command) -> Command:
        """Add a group of options to ``command``."""

        @functools.wraps(command)
        def call(**values: Any) -> Any:
            made = make(**{name: values.pop(name) for name in names})
            return command(**values, **{keyword: made})

        decorated: Any = call
        for option in reversed(options):
            decorated = option(decorated)
        names = [parameter.name for parameter in decorated.__click_params__[-len(options) :]]
        return call

    return decorate


def option(*names: str, **properties: Any) -> Any:
    """Declare an option as a field of a dataclass; the parameters are those of `click.option`."""
    return field(metadata={"option": functools.partial(click.option, *names, **properties)})


def list_options(group: type[Any]) -> list[Decorator]:
    """Return the options that the fields of the dataclass ``group`` declare."""
    return [item.metadata["option"](item.name) for item in fields(group)]


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """How a verb reports its progress and its result."""

    progress: str = option(
        "--progress", type=click.Choice(["auto", "plain"]), default="auto", help="Bars on a terminal, or lines."
    )
    quiet: bool = option("--quiet", is_flag=True, help="Say nothing but errors.")
    as_json: bool = option("--json", is_flag=True, help="A machine-readable result.")
    debug: bool = option("--debug", is_flag=True, help="Show where an error comes from.")

    @property
    def is_silent(self) -> bool:
        """Whether neither progress nor warnings are printed."""
        return self.quiet or self.as_json

    @property
    def draws_bars(self) -> bool:
        """Whether progress is drawn as bars, unless the verb is silent."""
        return self.progress == "auto" and sys.stderr.isatty()


@dataclass(frozen=True, slots=True)
class ReaderOptions:
    """Which images of a file are read, and how much they may unpack to."""

    platform: str | None
    max_unpacked_size: str | None


def argument_options(keyword: str, *flags: Flag) -> Decorator:
    """Return a decorator that adds flags of arguments; the command gets the arguments that were given as a mapping."""
    return group_options(keyword, collect_given, *map(make_option, flags))


def argument_option(name: str) -> Decorator:
    """Return the click option of the first flag of an argument."""
    return make_option(ARGUMENTS[name].flags[0])


def list_flags(*names: str) -> list[Flag]:
    """Return the flags of the arguments called ``names``, in the order of the help."""
    return [flag for name in names for flag in ARGUMENTS[name].flags]


def make_option(flag: Flag) -> Decorator:
    """Return a flag as click's decorator."""
    if not flag.name.startswith("-"):
        return click.argument(flag.parameter, metavar=flag.name, nargs=-1)
    return click.option(
        flag.name,
        flag.parameter,
        metavar=flag.metavar,
        type=flag.type if isinstance(flag.type, type) else click.Choice(flag.type),
        is_flag=flag.type is bool,
        multiple=flag.is_repeatable,
        hidden=flag.is_hidden,
        help=flag.help,
    )


def collect_given(**values: Any) -> dict[str, Any]:
    """Return the arguments of the flags that the user gave, by name.

    Args:
        values: click's values, by the parameters of the flags.

    Raises:
        InvalidArgument: an option is given by its old name and by its new one.

    """
    given: dict[str, Any] = {}
    for name, declared in ARGUMENTS.items():
        for flag in declared.flags:
            value = values.get(flag.parameter)
            if value is None or value is False or value == ():
                continue
            if flag.is_repeatable:
                given[name] = [*given.get(name, ()), *flag.convert(value)]
            elif name in given and flag.type is not bool:
                raise InvalidArgument(
                    flag.name,
                    got=f"it and {declared.flags[0].name}",
                    expected="one: it is the old name of the same option",
                )
            else:
                given[name] = flag.convert(value)
    return given


report_options = group_options("report", ReportOptions, *list_options(ReportOptions))
reader_options = group_options(
    "reader",
    ReaderOptions,
    click.option(
        "--platform", metavar="[OS/]ARCH[/VARIANT]", help="Take images for this platform alone: linux/arm64, arm/v7 …"
    ),
    argument_option("max_unpacked_size"),
)
