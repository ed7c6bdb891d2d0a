"""The files that ``lamina cache`` deletes, in its output."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lamina.cli.output import escape_controls, print_stdout


def print_files(files: Iterable[tuple[str, int]]) -> None:
    """Print the size and the path of each file."""
    for path, size in files:
        print_stdout(escape_controls(f"{size:>12} {path}"))


def dump_files(files: Iterable[tuple[str, int]]) -> list[dict[str, Any]]:
    """Return the files as JSON documents have them."""
    return [{"path": path, "size": size} for path, size in files]
