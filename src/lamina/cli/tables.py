"""Print aligned tables: coloured and cut to the width of a terminal, plain and whole elsewhere.

rich has tables too, but importing them takes 60 to 130 ms, which is half of what ``lamina plan`` takes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from lamina.cli.output import allows_colour, escape_controls, write_stdout_line

_GAP = "  "
_STYLES = {"bold": "\x1b[1m", "dim": "\x1b[2m"}
_RESET = "\x1b[0m"


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        title: The heading.
        is_number: Align the cells to the right.
        is_flexible: Cut the cells with ``…`` if a line is longer than the terminal is wide.
        style: ``bold``, ``dim`` or empty.
    """

    title: str
    is_number: bool = False
    is_flexible: bool = False
    style: str = ""


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[str]], *, is_whole: bool = False) -> None:
    """Print a table with a heading on stdout; print nothing if there are no rows.

    Args:
        columns: The columns.
        rows: The cells, one for each column.
        is_whole: Do not cut lines that are longer than a terminal is wide.
    """
    cells = [[escape_controls(cell) for cell in row] for row in rows]
    if not cells:
        return
    table = [[column.title for column in columns], *cells]
    widths = [max(map(measure, column)) for column in zip(*table, strict=True)]
    if not is_whole:
        widths = _shrink(widths, [column.is_flexible for column in columns])
    is_coloured = supports_colour()
    for number, row in enumerate(table):
        styles = [column.style if number else "bold" for column in columns]
        line = [
            _format_cell(cell, width, style if is_coloured else "", is_number=column.is_number)
            for cell, width, column, style in zip(row, widths, columns, styles, strict=True)
        ]
        write_stdout_line(_GAP.join(line).rstrip())


def print_fields(title: str, fields: Sequence[tuple[str, str]], *, is_whole: bool = False) -> None:
    """Print a title and, below it, aligned lines of a name and a value.

    Args:
        title: The first line, in bold on a terminal.
        fields: The names and the values.
        is_whole: Do not cut lines that are longer than a terminal is wide.
    """
    is_coloured = supports_colour()
    limit = None if is_whole else _find_width()
    title = escape_controls(title)
    write_stdout_line(_style(title if limit is None else cut(title, limit), "bold" if is_coloured else ""))
    width = max((len(name) for name, _ in fields), default=0)
    for name, value in fields:
        text = escape_controls(value)
        if limit is not None:
            text = cut(text, limit - width - 2 * len(_GAP))
        write_stdout_line(f"{_GAP}{_style(name.ljust(width), 'dim' if is_coloured else '')}{_GAP}{text}")


def supports_colour() -> bool:
    """Return whether stdout is a terminal that shows colours, and the user wants them."""
    return sys.stdout.isatty() and allows_colour()


def cut(text: str, width: int) -> str:
    """Return ``text`` in at most ``width`` columns of a terminal, with ``…`` in place of its end.

    The count in a text such as ``glibc-2.40 +37`` stays if there is room for it.
    """
    if measure(text) <= width:
        return text
    name, mark, count = text.rpartition(" +")
    ending = f"…{mark}{count}" if mark and count.isdigit() and len(mark + count) < width else "…"
    name = name if len(ending) > 1 else text
    while name and measure(name) + len(ending) > width:
        name = name[:-1]
    return name + ending


def measure(text: str) -> int:
    """Return the number of columns that ``text`` takes on a terminal."""
    if text.isascii():
        return len(text)
    import unicodedata

    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def _find_width() -> int | None:
    """Return the width of the terminal that stdout is; None if it is no terminal."""
    if not sys.stdout.isatty():
        return None
    import shutil

    return shutil.get_terminal_size().columns


def _shrink(widths: Sequence[int], flexible: Sequence[bool]) -> list[int]:
    """Return the widths of columns, those of the widest flexible ones reduced until a line fits on the terminal."""
    shrunk = list(widths)
    limit = _find_width()
    if limit is None:
        return shrunk
    excess = sum(shrunk) + len(_GAP) * (len(shrunk) - 1) - limit
    candidates = [number for number, is_flexible in enumerate(flexible) if is_flexible]
    for _ in range(excess):
        widest = max(candidates, key=lambda number: shrunk[number])
        shrunk[widest] = max(shrunk[widest] - 1, 1)
    return shrunk


def _format_cell(cell: str, width: int, style: str, *, is_number: bool) -> str:
    text = cut(cell, width)
    padding = " " * (width - measure(text))
    return padding + _style(text, style) if is_number else _style(text, style) + padding


def _style(text: str, style: str) -> str:
    return f"{_STYLES[style]}{text}{_RESET}" if style and text else text
