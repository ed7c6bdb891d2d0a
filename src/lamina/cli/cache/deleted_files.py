"""The files that ``lamina cache`` deletes, in its output."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from lamina.cli.output import escape_controls, print_stdout
from lamina.messages.sizes import format_size

if TYPE_CHECKING:
    from lamina.layer_cache.files import DeletedFile


def print_files(files: Iterable[DeletedFile]) -> None:
    """Print the size and the path of each file."""
    for file in files:
        print_stdout(escape_controls(f"{format_size(file.size):>11}  {file.path}"))
