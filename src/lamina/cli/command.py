"""Commands whose help has sections, and their options.

The help of a verb is one sentence, examples, the arguments, and the options in the sections that
`lamina.inputs.declarations.SECTIONS` lists. It is coloured on a terminal, unless ``NO_COLOR`` is set or ``TERM`` is
``dumb``.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import click

from lamina.cli.completers import make_completer
from lamina.cli.output import allows_colour
from lamina.errors import InvalidArgument
from lamina.inputs.declarations import SECTIONS, Section
from lamina.messages.redaction import short_repr

Function = Callable[..., Any]
Parse = Callable[[str, Any], Any]
Decorator = Callable[[Function], Function]
_MIN_WIDTH, _MAX_WIDTH = 20, 100
_MARGIN = 2
_MAX_FIRST_COLUMN = 30
# A hyphen at which a line is not wrapped; it is written as a plain one.
_HYPHEN = "\N{NON-BREAKING HYPHEN}"


class SectionOption(click.Option):
    """An option with the section of the help that it belongs to.

    If it takes one value, another value after it is an error: which of two is meant would be a guess. Of preferences,
    which people put into aliases and scripts, the last value counts: ``--progress``, and the options for speed.

    Args:
        section: The section.
        is_path: Whether its value names a file or folder.
        repeat_hint: The hint of the error if it is given again with another value.
    """

    def __init__(
        self,
        *arguments: Any,
        section: Section = "",
        is_path: bool = False,
        repeat_hint: str = "",
        **options: Any,
    ) -> None:
        super().__init__(*arguments, **options)
        self.section = section
        self.is_path = is_path
        self.repeat_hint = repeat_hint

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        """Add the option to click's parser, which keeps all values of an option that takes one."""
        if self.is_flag or self.multiple:
            super().add_to_parser(parser, ctx)
        else:
            parser.add_option(obj=self, opts=self.opts, dest=self.name, action="append", nargs=self.nargs)

    def consume_value(self, ctx: click.Context, opts: Mapping[str, Any]) -> tuple[Any, Any]:
        """Return the value and where it comes from; raise `InvalidArgument` if two different values are given."""
        values = opts.get(self.name or "")
        if isinstance(values, list) and not self.multiple:
            first, last = values[0], values[-1]
            is_preference = self.section == "speed" or self.name == "progress"
            if first != last and not is_preference and not ctx.resilient_parsing:
                got = f"{short_repr(first)} and {short_repr(last)}"
                raise InvalidArgument(get_written_name(self), got, "one value", hint=self.repeat_hint)
            opts = {**opts, self.name or "": last}
        return super().consume_value(ctx, opts)

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return the names and the text of the option; the text says whether the option may be repeated."""
        record = super().get_help_record(ctx)
        if not record or not self.multiple:
            return record
        names, text = record
        return names, f"{text[:-1]}; repeatable]" if text.endswith("]") else f"{text}  [repeatable]"


def option(
    *names: str,
    section: Section = "",
    completion: str | Sequence[str] = "",
    parse: Parse | None = None,
    **attributes: Any,
) -> Decorator:
    """Return the decorator of an option.

    Args:
        names: what users write, such as ``-o`` and ``--output``.
        section: its section of the help.
        completion: the values that a shell offers, in the form of `lamina.inputs.declarations.Flag`.
        parse: takes the name of the option and its value if it is given, and returns the checked value.
        attributes: those of `click.option`.

    """
    return click.option(
        *names,
        cls=SectionOption,
        section=section,
        is_path=completion in ("file", "folder"),
        shell_complete=make_completer(completion),
        callback=_make_callback(parse) if parse else None,
        **attributes,
    )


def _make_callback(parse: Parse) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """Return click's callback that checks the value of an option under the option's name."""
    return lambda _, parameter, value: value if value is None else parse(get_written_name(parameter), value)


def get_written_name(parameter: click.Parameter | None) -> str:
    """Return what errors call a parameter: the long name of an option, or the metavar of an argument."""
    if isinstance(parameter, click.Argument):
        return _strip_marks(parameter.metavar or parameter.human_readable_name)
    return max(parameter.opts, key=len) if parameter else ""


class HelpFormatter(click.HelpFormatter):
    """Writes headings and names in colour, and aligns the texts of all sections.

    Args:
        width: The width of a line; None for that of the terminal.
        max_width: The largest width of a line on a wide terminal.
    """

    def __init__(self, width: int | None = None, max_width: int | None = None) -> None:
        if width is None:  # click takes at least 50 columns, whose lines a narrower terminal breaks within words
            import shutil

            columns = shutil.get_terminal_size().columns
            width = max(min(columns, max_width or _MAX_WIDTH) - _MARGIN, _MIN_WIDTH)
        super().__init__(width=width, max_width=max_width)

    def write_heading(self, heading: str) -> None:
        """Write the heading of a section."""
        self.write(f"{click.style(f'{heading}:', bold=True)}\n")

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        """Write the usage line."""
        super().write_usage(prog, args, f"{click.style('Usage:', bold=True)} ")

    def write_text(self, text: str) -> None:
        """Write paragraphs."""
        super().write_text(_protect_options(text))

    def getvalue(self) -> str:
        """Return what was written."""
        return super().getvalue().replace(_HYPHEN, "-")

    def write_sections(self, sections: Iterable[tuple[str, Sequence[tuple[str, str]]]]) -> None:
        """Write sections of definitions, each with its title, whose texts begin in the same column."""
        found = [(title, rows) for title, rows in sections if rows]
        limit = min(_MAX_FIRST_COLUMN, self.width // 3)
        widths = [len(name) for _, rows in found for name, _ in rows if len(name) <= limit]
        column = max(widths, default=limit)
        for title, rows in found:
            with self.section(title):
                padded = [(click.style(name.ljust(column), fg="cyan"), _protect_options(text)) for name, text in rows]
                self.write_dl(padded, column)


def _protect_options(text: str) -> str:
    """Return ``text`` with the names of options in it protected from being wrapped."""
    return re.sub(r"--[\w-]+", lambda found: found[0].replace("-", _HYPHEN), text)


class HelpContext(click.Context):
    """The context of a command: how wide its help is, and whether it is coloured."""

    formatter_class = HelpFormatter

    def __init__(self, *arguments: Any, **options: Any) -> None:
        defaults = {"max_content_width": _MAX_WIDTH, "help_option_names": ["-h", "--help"]}
        super().__init__(*arguments, **{**defaults, **options})
        if not allows_colour():
            self.color = False


class VerbCommand(click.Command):
    """A command; ``examples`` are command lines of it for its help."""

    context_class = HelpContext
    # `parse_args` reports them: click's error has them only inside its message.
    allow_extra_args = True

    def __init__(self, *arguments: Any, examples: Sequence[str] = (), **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.examples = tuple(examples)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the command line; refuse an empty name of a file, which an unset variable of a shell gives."""
        try:
            rest = super().parse_args(ctx, args)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx  # click's parser leaves it out
            raise
        if rest and not ctx.resilient_parsing:
            arguments = [get_written_name(one) for one in self.params if isinstance(one, click.Argument)]
            expected = f"nothing after {' '.join(arguments)}" if arguments else "options only"
            raise InvalidArgument(short_repr(rest[0]), "one argument more", expected, hint=f"{ctx.command_path} --help")
        for parameter in self.params:
            is_argument = isinstance(parameter, click.Argument)
            if is_argument or getattr(parameter, "is_path", False):
                value = ctx.params.get(parameter.name or "")
                if value == "" or (isinstance(value, tuple) and "" in value):
                    expected = "a name or a path" if is_argument else "the name of a file or folder"
                    raise InvalidArgument(
                        get_written_name(parameter), "''", expected, hint="is a variable of the shell unset?"
                    )
        return rest

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Return the parts of the usage line; options that must be given are among them."""
        needed = (parameter for parameter in self.params if isinstance(parameter, click.Option) and parameter.required)
        names = (f"{parameter.opts[0]} {parameter.make_metavar(ctx)}" for parameter in needed)
        return [*super().collect_usage_pieces(ctx), *names]

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what the command does, and its examples."""
        super().format_help_text(ctx, formatter)
        write_examples(self.examples, formatter)

    def format_arguments(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write nothing: `format_options` writes the arguments too, so that all texts are aligned."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the arguments and the sections of the options."""
        write_sections(list_sections(self, ctx), formatter)


def list_sections(command: click.Command, ctx: click.Context) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return the title of each section of the help of ``command``, and the names and texts in it."""
    arguments = [parameter for parameter in command.get_params(ctx) if isinstance(parameter, click.Argument)]
    records = [(_strip_marks(argument.make_metavar(ctx)), argument.help or "") for argument in arguments]
    sections = [("Arguments", [(name, text) for name, text in records if text])]
    for section, title in SECTIONS.items():
        options = (
            parameter
            for parameter in command.get_params(ctx)
            if isinstance(parameter, click.Option) and getattr(parameter, "section", "output") == section
        )
        found = (parameter.get_help_record(ctx) for parameter in options)
        sections.append((title, [record for record in found if record]))
    return sections


def _strip_marks(metavar: str) -> str:
    """Return the name of an argument without the marks that it may be left out or repeated."""
    name = metavar.removesuffix("...")
    return name[1:-1] if name.startswith("[") and name.endswith("]") else name


def write_examples(examples: Sequence[str], formatter: click.HelpFormatter) -> None:
    """Write the section of examples; command lines are not wrapped, so that they can be copied."""
    if not examples:
        return
    with formatter.section("Examples" if len(examples) > 1 else "Example"):
        for example in examples:
            formatter.write(f"{'':>{formatter.current_indent}}{example}\n")


def write_sections(sections: list[tuple[str, list[tuple[str, str]]]], formatter: click.HelpFormatter) -> None:
    """Write sections with ``formatter``, which `HelpContext` made."""
    assert isinstance(formatter, HelpFormatter)  # noqa: S101 - only the type of click's signature is wider
    formatter.write_sections(sections)


def verb(name: str, *examples: str, kind: type[VerbCommand] = VerbCommand) -> Callable[[Function], VerbCommand]:
    """Return the decorator of a command called ``name``; its docstring is its help."""
    return click.command(name, cls=kind, examples=examples)
