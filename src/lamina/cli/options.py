"""Options that several verbs share: the values of each group reach the verb as one object.

The flags of arguments come from the table in `lamina.inputs.arguments`. An option that the user does not give is not
passed on, so that the API's own default holds.

The objects are named tuples, because making a dataclass takes half a millisecond at every start of a verb.
"""

import functools
import os
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any, NamedTuple, get_args

import click

from lamina.cli.command import get_written_name, option
from lamina.cli.completers import make_completer
from lamina.errors import InvalidArgument
from lamina.inputs import declarations, parsers
from lamina.inputs.arguments import ARGUMENTS
from lamina.inputs.declarations import Flag, Phase, Section
from lamina.messages.redaction import short_repr
from lamina.messages.suggestions import format_suggestion

Command = Callable[..., Any]
Decorator = Callable[[Command], Command]


def group_options(keyword: str, make: Callable[..., object], *options: Decorator) -> Decorator:
    """Return a decorator that adds click's ``options`` to a command, which gets one object for all of them.

    Args:
        keyword: the command's parameter for the object.
        make: takes the values as keyword arguments, and returns the object.
        options: click's decorators, in the order of the help.

    """

    def decorate(command: Command) -> Command:
        """Add a group of options to ``command``."""

        @functools.wraps(command)
        def call(**values: Any) -> Any:
            made = make(**{name: values.pop(name) for name in names})
            return command(**values, **{keyword: made})

        decorated: Any = call
        for add_option in reversed(options):
            decorated = add_option(decorated)
        names = [parameter.name for parameter in decorated.__click_params__[-len(options) :]]
        return call

    return decorate


def list_options(group: type[Any], section: Section, *left_out: str) -> list[Decorator]:
    """Return the options of the flags that the fields of the `NamedTuple` ``group`` declare.

    Args:
        group: the named tuple.
        section: the section of the help for all of them.
        left_out: fields whose flags are left out.

    """
    return [
        make_option(flag._replace(section=section), name)
        for name, annotation in group.__annotations__.items()
        for flag in declarations.list_flags(name, annotation)
        if name not in left_out
    ]


def make_option(flag: Flag, parameter: str = "") -> Decorator:
    """Return a flag as click's decorator; ``parameter`` is the name of its value, if not the flag's own."""
    parameter = parameter or flag.parameter
    if not flag.name.startswith("-"):
        completer = make_completer(flag.completion)
        return click.argument(parameter, metavar=flag.name, nargs=-1, help=flag.help, shell_complete=completer)
    if isinstance(flag.value_type, type):
        value_type: Any = _Number(flag.value_type) if flag.value_type in (int, float) else flag.value_type
    else:
        value_type = Choice(flag.value_type, flag.old_values)
    return option(
        *filter(None, (flag.short, flag.name)),
        parameter,
        section=flag.section,
        completion=flag.completion,
        parse=flag.parse,
        metavar=flag.metavar,
        type=value_type,
        is_flag=flag.value_type is bool,
        default=flag.default,
        multiple=flag.is_repeatable,
        hidden=flag.is_hidden,
        help=flag.help,
    )


class Choice(click.Choice[str]):
    """One of several strings, or an old string that means one of them, which the help leaves out."""

    def __init__(self, choices: Sequence[str], old_values: Mapping[str, str] = MappingProxyType({})) -> None:
        super().__init__(choices)
        self._old_values = old_values

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the string that ``value`` means.

        Raises:
            InvalidArgument: it is none of them.

        """
        known = self._old_values.get(value, value)
        if known not in self.choices:
            shorter = next((f"did you mean {choice}?" for choice in self.choices if value.startswith(choice)), "")
            raise InvalidArgument(
                get_written_name(param),
                short_repr(value),
                f"one of {', '.join(self.choices)}",
                hint=format_suggestion(value, self.choices) or shorter,
            )
        return super().convert(known, param, ctx)


class _Number(click.ParamType[Any]):
    """A number of the type ``kind``."""

    def __init__(self, kind: type[int] | type[float]) -> None:
        self._kind = kind
        self.name = "integer" if kind is int else "float"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number that ``value`` is.

        Raises:
            InvalidArgument: it is no number.

        """
        try:
            return self._kind(value)
        except ValueError:
            expected = "a whole number" if self._kind is int else "a number"
            raise InvalidArgument(get_written_name(param), short_repr(value), expected) from None


NUMBER = _Number(int)


class ReportOptions(NamedTuple):
    """How a verb reports its progress and its result."""

    progress: Annotated[
        str,
        Flag(
            "How progress is shown on stderr: auto (bars on a terminal outside CI, else lines), bars, lines (one for "
            "each layer or store path), or nix (the lines of nixpkgs' dockerTools).  [default: auto]",
            "auto|bars|lines|nix",
            value_type=("auto", "bars", "lines", "nix"),
            old_values={"plain": "lines"},
            default="auto",
        ),
    ] = "auto"
    quiet: Annotated[bool, Flag("Print errors only, and the result.", value_type=bool, short="-q")] = False
    verbose: Annotated[
        bool, Flag("Print what is decided, and why, such as the stores that are used.", value_type=bool, short="-v")
    ] = False
    as_json: Annotated[bool, Flag("Print the result as JSON.", name="--json", value_type=bool)] = False
    debug: Annotated[bool, Flag("Print where in lamina an error comes from, for a bug report.", value_type=bool)] = (
        False
    )

    @property
    def is_silent(self) -> bool:
        """Whether neither progress nor warnings are printed."""
        return self.quiet or self.as_json

    @property
    def style(self) -> str:
        """How progress is shown, unless the verb is silent: ``bars``, ``lines`` or ``nix``.

        Bars are drawn on a terminal that can move its cursor; in CI, whose log keeps every frame, only if the user asks
        for them.
        """
        if self.progress in ("lines", "nix"):
            return self.progress
        is_wanted = self.progress == "bars" or os.environ.get("CI", "").lower() in ("", "0", "false")
        is_possible = sys.stderr.isatty() and os.environ.get("TERM", "") not in ("dumb", "unknown")
        return "bars" if is_wanted and is_possible else "lines"


def argument_options(keyword: str, *flags: Flag) -> Decorator:
    """Return a decorator that adds flags of arguments; the command gets the arguments that were given as a mapping."""
    return group_options(keyword, collect_given, *map(make_option, flags))


def argument_option(name: str) -> Decorator:
    """Return the click option of the first flag of an argument."""
    return make_option(ARGUMENTS[name].flags[0])


def list_flags(*names: str, phases: Collection[Phase] = get_args(Phase)) -> list[Flag]:
    """Return the flags of the arguments called ``names`` that one of ``phases`` uses, in the order of the table."""
    return [flag for name in names for flag in ARGUMENTS[name].flags if flag.phase in phases]


def output_option(metavar: str, help_text: str, **attributes: Any) -> Decorator:
    """Return the decorator of ``-o``, the file that a verb writes; ``attributes`` are those of `click.option`."""
    return option("-o", "--output", section="output", completion="file", metavar=metavar, help=help_text, **attributes)


REFERENCE_HELP = " Or a reference to an image in a registry, such as ghcr.io/me/app:1."


def image_argument(parameter: str, metavar: str, more: str = "", **attributes: Any) -> Decorator:
    """Return the decorator of the argument for the images that a command reads.

    Args:
        parameter: the parameter of the command.
        metavar: what the help calls it.
        more: the rest of its help, after a space.
        attributes: those of `click.argument`.

    """
    return click.argument(
        parameter,
        metavar=metavar,
        help="A docker-archive or an OCI layout in a file, plain or compressed with gzip, zstd or xz; or an OCI layout "
        f"in a folder. NAME chooses one of several images in it.{more}",
        shell_complete=make_completer("file"),
        **attributes,
    )


def collect_given(**values: Any) -> dict[str, Any]:
    """Return the arguments of the flags that the user gave, by name.

    Args:
        values: click's values, by the parameters of the flags.

    Values are checked under the name that the user wrote, and are what the parser of the argument returns.

    Raises:
        InvalidArgument: a value is wrong, or an option is given by its old name and by its new one.
        InputError: the file of a pipeline is missing, or cannot be read.
        FormatError: the file of a pipeline cannot be parsed.

    """
    given: dict[str, Any] = {}
    for name, declared in ARGUMENTS.items():
        for flag in declared.flags:
            value = values.get(flag.parameter)
            if value is None or value is False or value == ():
                continue
            if name in given and not flag.is_repeatable and flag.value_type is not bool:
                raise InvalidArgument(
                    flag.name, f"it and {declared.flags[0].name}", "only one of them: it is the old name of the other"
                )
            parsed = declared.parse_given(flag.written_name, flag.convert(value))
            given[name] = (*given.get(name, ()), *parsed) if flag.is_repeatable else parsed
    return given


class ReaderOptions(NamedTuple):
    """Which images of a file are read, and how much they may unpack to."""

    platform: Annotated[
        str | None,
        Flag(
            "Take only images for this platform, such as linux/arm64 or arm/v7. Verbs that need one image take the "
            "only one if it is not given.",
            "[OS/]ARCH[/VARIANT]",
            parse=parsers.parse_platform,
        ),
    ]
    max_unpacked_size: Annotated[int | None, ARGUMENTS["max_unpacked_size"].flags[0]._replace(parse=parsers.parse_size)]


def _make_report_options(*left_out: str) -> Decorator:
    return group_options("report", ReportOptions, *list_options(ReportOptions, "output", *left_out))


# A verb has --progress if it shows progress, and --verbose if it decides something.
report_options = _make_report_options()
progress_options = _make_report_options("verbose")
decision_options = _make_report_options("progress")
result_options = _make_report_options("progress", "verbose")
# A server has no result.
server_options = _make_report_options("progress", "verbose", "as_json")
reader_options = group_options("reader", ReaderOptions, *list_options(ReaderOptions, "image"))
