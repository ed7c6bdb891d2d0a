"""The options of verbs that also write their result as a page, and the files that they name."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import lamina
from lamina.cli.command import Decorator, option

if TYPE_CHECKING:
    from lamina.system.fd_writer import Output


def html_option(help_text: str) -> Decorator:
    """Return the decorator of ``--html``, whose value is the name of a file."""
    return page_option("--html", "html", help_text)


def page_option(name: str, parameter: str, help_text: str) -> Decorator:
    """Return the decorator of an option whose value is the name of a file; the verb gets it as ``parameter``."""
    return option(
        name, parameter, section="output", completion="file", parse=_parse_file, metavar="FILE", help=help_text
    )


def write_page(file: str, page: bytes) -> None:
    """Write a page to the file, which appears whole or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    with open_page(file) as target:
        target.write(memoryview(page))


def open_page(file: str) -> AbstractContextManager[Output]:
    """Open the file of a page for the block. It appears, whole, when the block ends without an error.

    Raises:
        OutputError: the file cannot be written.
    """
    return lamina.open_output(file, compressor="none")


def _parse_file(name: str, value: str) -> str:
    from lamina.errors import InvalidArgument
    from lamina.messages.redaction import short_repr
    from lamina.system.output import is_layout

    if value == "-" or is_layout(value):
        raise InvalidArgument(name, short_repr(value), "the name of a file", hint="such as page.html")
    return value
