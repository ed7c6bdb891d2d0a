"""What is said on stderr while a verb works, and how a result is printed.

Invariant: stdout gets the result alone.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from lamina.cli.output import print_script_output, print_stderr, print_stdout
from lamina.cli.progress_lines import ProgressLines
from lamina.messages.redaction import clean

if TYPE_CHECKING:
    from lamina.images.image import Image
    from lamina.images.progress import Progress

JSON_VERSION = 1


@contextlib.contextmanager
def progress(flags: Mapping[str, Any]) -> Iterator[Progress]:
    """Bars on a terminal, lines elsewhere or where asked for, nothing under ``--quiet`` and ``--json``.

    The terminal is as it was when the block ends, however it ends.
    """
    if flags["quiet"] or flags["as_json"]:
        from lamina.images.progress import NoProgress

        yield NoProgress()
    elif flags["progress"] == "auto" and sys.stderr.isatty():
        from lamina.cli.progress_bars import ProgressBars

        bars = ProgressBars(sys.stderr)
        try:
            yield bars
        finally:
            bars.stop()
    else:
        yield ProgressLines(sys.stderr)


def print_summary(summary: str, flags: Mapping[str, Any]) -> None:
    """The last line of a verb that writes other things than one image: a summary on a terminal, else "Done."."""
    if not flags["quiet"] and not flags["as_json"]:
        on_terminal = flags["progress"] == "auto" and sys.stderr.isatty()
        print_stderr(summary if on_terminal else "Done.")


def warn(warnings: Collection[str], flags: Mapping[str, Any]) -> int:
    """Prints warnings, but under ``--quiet``, and under ``--json``, whose document has them; says how many they are."""
    if not flags["quiet"] and not flags["as_json"]:
        for warning in warnings:
            print_stderr(f"lamina: warning: {warning}")
    return len(warnings)


def show_output(text: str, flags: Mapping[str, Any]) -> None:
    """Print what a script has printed, but not under ``--quiet`` and ``--json``."""
    if text and not flags["quiet"] and not flags["as_json"]:
        print_script_output(text)


def print_json(document: Mapping[str, Any], *, to_stderr: bool = False) -> None:
    """Print a result with its version in front; ``to_stderr`` is to stderr, where stdout has the image.

    Every document has the warnings, cleaned as those that are printed.
    """
    warnings = [clean(text) for text in document.get("warnings", ())]
    text = json.dumps({"version": JSON_VERSION, **document, "warnings": warnings}, indent=2)
    if to_stderr:
        print(text, file=sys.stderr)
    else:
        print_stdout(text)


def image_document(image: Image, warnings: Iterable[str]) -> dict[str, Any]:
    """What ``--json`` says of an image that was written."""
    return {
        "id": image.id,
        "repo_tags": [image.repo_tag],
        "layers": [
            {
                "diff_id": str(layer.diff_id),
                "digest": str(layer.diff_id),
                "size": layer.size,
                "paths": list(map(str, layer.paths)),
            }
            for layer in image.layers
        ],
        "warnings": list(warnings),
    }


def readable_size(size: int) -> str:
    """A length in bytes as a person reads it."""
    if size < 1024:
        return f"{size} B"
    value = float(size)
    for unit in ("KiB", "MiB", "GiB"):
        value /= 1024
        if value < 1024 or unit == "GiB":
            break
    return f"{value:.1f} {unit}"
