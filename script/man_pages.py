"""Write the manual pages of lamina and of each of its commands, from the data of their ``--help``.

    python script/man_pages.py [FOLDER]     writes lamina.1, lamina-build.1 …; FOLDER is man by default

An sdist has the pages in ``man/`` (sdist_hook.py), and the package of nix/ in ``share/man``. click-man is not used: it
finds only the commands of a group that holds them all, knows neither sections nor examples, and does not escape lines
for roff.
"""

from __future__ import annotations

import inspect
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click


def write_pages(folder: Path) -> list[str]:
    """Write all pages to ``folder``, and return their names."""
    from lamina.cli.command import HelpContext
    from lamina.cli.group import group

    folder.mkdir(parents=True, exist_ok=True)
    pages = dict(_make_pages(HelpContext(group, info_name="lamina"), "build container images from Nix store paths"))
    for name, text in pages.items():
        (folder / name).write_text(text, encoding="utf-8")
    return list(pages)


def _make_pages(ctx: click.Context, summary: str) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of the page of a command, and those of the commands in it."""
    from lamina.cli.lazy_group import CommandGroup

    command = ctx.command
    name = ctx.command_path.replace(" ", "-")
    yield f"{name}.1", "\n".join([*_format_page(ctx, name, summary), ""])
    if isinstance(command, CommandGroup):
        for word, line in command.summaries.items():
            inner = command.get_command(ctx, word)
            if inner is not None:
                yield from _make_pages(inner.context_class(inner, parent=ctx, info_name=word), line.rstrip("."))


def _format_page(ctx: click.Context, name: str, summary: str) -> Iterator[str]:
    from lamina.cli.command import list_sections
    from lamina.cli.lazy_group import CommandGroup
    from lamina.version import __version__

    command = ctx.command
    date = time.strftime("%Y-%m-%d", time.gmtime(int(os.environ.get("SOURCE_DATE_EPOCH", time.time()))))
    yield f'.TH {name.upper()} 1 {date} "lamina {__version__}" "lamina manual"'
    yield from (".SH NAME", f"{_escape(name)} \\- {_escape(summary)}")
    yield from (".SH SYNOPSIS", f".B {_escape(ctx.command_path)}", _escape(" ".join(command.collect_usage_pieces(ctx))))
    yield ".SH DESCRIPTION"
    paragraphs = inspect.cleandoc(command.help or "").split("\n\n")
    for number, paragraph in enumerate(paragraphs):
        yield from ([".PP"] if number else [])
        yield _escape(" ".join(paragraph.split()))
    examples: Iterable[str] = getattr(command, "examples", ())
    if examples:
        yield from (".SH EXAMPLES", ".EX", *map(_escape, examples), ".EE")
    if isinstance(command, CommandGroup):
        yield ".SH COMMANDS"
        for word, line in command.summaries.items():
            yield from (".TP", f".BR {_escape(f'{name}-{word}')} (1)", _escape(line))
    sections = [(title, records) for title, records in list_sections(command, ctx) if records]
    arguments = [records for title, records in sections if title == "Arguments"]
    for records in arguments:
        yield from (".SH ARGUMENTS", *_format_definitions(records))
    yield ".SH OPTIONS"
    for title, records in sections:
        if title != "Arguments":
            yield from (f".SS {_escape(title)}", *_format_definitions(records))
    if ctx.parent is None:
        yield from (".SH EXIT STATUS", *_format_definitions(_list_exit_codes()))
    else:
        yield from (".SH SEE ALSO", f".BR {_escape(ctx.parent.command_path.replace(' ', '-'))} (1)")


def _format_definitions(records: Iterable[tuple[str, str]]) -> Iterator[str]:
    for term, text in records:
        yield from (".TP", f".B {_escape(term)}", _escape(re.sub(r"\s+", " ", text)))


def _list_exit_codes() -> Iterator[tuple[str, str]]:
    from lamina.errors import Error

    yield "0", "The work is done."
    yield "1", "There is a bug in lamina."
    for kind in sorted(Error.__subclasses__(), key=lambda kind: kind.exit_code):
        yield str(kind.exit_code), (kind.__doc__ or "").split("\n")[0]
    yield "130", "The run was interrupted."
    yield "141", "The reader of the output closed its pipe."


# What roff would take for one of its own marks. A dash that is to be copied is escaped too.
_ESCAPES: Mapping[str, str] = {"\\": "\\e", "-": "\\-", "…": "...", "'": "\\(aq", '"': "\\(dq"}


def _escape(text: str) -> str:
    escaped = "".join(_ESCAPES.get(character, character) for character in text)
    return f"\\&{escaped}" if escaped.startswith(".") else escaped


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "man")
    sys.stdout.write("".join(f"{target / name}\n" for name in write_pages(target)))
