"""Report progress and warnings on stderr while a verb works, and print its result.

Only the result goes to stdout, so that it can be piped to another program.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from lamina.cli.output import print_script_output, print_stderr, print_stdout
from lamina.messages.redaction import clean
from lamina.messages.sizes import format_size

if TYPE_CHECKING:
    from lamina.cli.options import ReportOptions
    from lamina.core.names import Digest, StorePath
    from lamina.core.progress import Progress
    from lamina.images.image import BuildResult

JSON_VERSION = 1


@contextlib.contextmanager
def open_progress(report: ReportOptions) -> Iterator[Progress]:
    """Open the progress display that ``report`` asks for.

    It draws bars, prints lines, or is silent under ``--quiet`` and ``--json``. Bars are removed from the terminal when
    the block ends, also by an exception.
    """
    if report.is_silent:
        from lamina.core.progress import Progress

        yield Progress()
    elif report.style == "nix":
        from lamina.cli.nix_lines import NixLines

        yield NixLines(sys.stderr)
    elif report.style == "bars":
        from lamina.cli.progress_bars import ProgressBars

        bars = ProgressBars(sys.stderr)
        try:
            yield bars
        finally:
            bars.stop()
    else:
        from lamina.cli.progress_lines import ProgressLines

        yield ProgressLines(sys.stderr)


def print_summary(facts: Iterable[str], report: ReportOptions) -> None:
    """Print the last line of a verb on stderr: its ``facts`` in columns, on a terminal in lines that fit its width.

    It is not printed under ``--progress nix``, whose lines end with ``Done.``.
    """
    if not report.is_silent and report.style != "nix":
        for line in _join_facts(facts, _find_width()):
            print_stderr(line)


def print_image_summary(image: BuildResult, report: ReportOptions) -> None:
    """Print the summary of an image that was written."""
    from lamina.core.labels import shorten_digest

    facts = (
        image.repo_tag,
        shorten_digest(image.digest),
        image.platform,
        format_count(len(image.layers), "layer"),
        format_size(image.size),
        _describe_written(image),
        f"{image.seconds:.1f} s",
    )
    print_summary(facts, report)


def _describe_written(image: BuildResult) -> str:
    size = format_size(image.bytes_written)
    if image.file is None or not os.path.isdir(image.file):
        return f"{size} written"
    blobs = f"{image.blobs_written} of {len(image.blobs)} blobs written"
    return f"{blobs}, {size}" if image.blobs_written else blobs


def format_count(count: int, noun: str) -> str:
    """Return a number with its noun, such as ``1 layer`` or ``3 layers``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _find_width() -> int | None:
    """Return the width of the terminal that stderr is; None if it is no terminal, or does not say."""
    if not sys.stderr.isatty():
        return None
    columns = os.environ.get("COLUMNS", "")
    with contextlib.suppress(OSError, ValueError):
        return (int(columns) if columns.isdecimal() else os.get_terminal_size(sys.stderr.fileno()).columns) or None
    return None


def _join_facts(facts: Iterable[str], width: int | None) -> Iterator[str]:
    line = ""
    for fact in facts:
        if line and width is not None and len(line) + 2 + len(fact) > width:
            yield line
            line = "  " + fact
        else:
            line += f"  {fact}" if line else fact
    yield line


def warn(warnings: Collection[str], report: ReportOptions) -> int:
    """Print ``warnings`` and return their number.

    They are not printed under ``--quiet``, nor under ``--json``, where the document contains them.
    """
    if not report.is_silent:
        for warning in warnings:
            print_stderr(f"lamina: warning: {warning}")
    return len(warnings)


def show_script_output(text: str, report: ReportOptions) -> None:
    """Print the output of scripts, except under ``--quiet`` and ``--json``."""
    if text and not report.is_silent:
        print_script_output(text)


def print_json(document: Mapping[str, Any], *, to_stderr: bool = False) -> None:
    """Print a result as JSON, with the version of the format as its first key.

    Every document has a key ``warnings``; their text is cleaned of secrets, like that of printed warnings.

    Args:
        document: The other keys of the result.
        to_stderr: Print on stderr, because stdout carries an image.
    """
    import json

    warnings = [clean(text) for text in document.get("warnings", ())]
    text = json.dumps({"version": JSON_VERSION, **document, "warnings": warnings}, indent=2)
    if to_stderr:
        print(text, file=sys.stderr)
    else:
        print_stdout(text)


def dump_image(image: BuildResult, warnings: Iterable[str]) -> dict[str, Any]:
    """Return the result of ``--json`` for an image that was written."""
    return {
        "id": image.id,
        "repo_tags": [image.repo_tag],
        "platform": image.platform,
        "file": image.file,
        "layers": [
            dump_layer(layer.diff_id, blob.digest, blob.size, layer.paths)
            for layer, blob in zip(image.layers, image.blobs, strict=True)
        ],
        "blobs_written": image.blobs_written,
        "blobs_reused": image.blobs_reused,
        "bytes_written": image.bytes_written,
        "seconds": round(image.seconds, 3),
        "warnings": list(warnings),
    }


def dump_layer(diff_id: Digest, digest: Digest, size: int, paths: Iterable[StorePath]) -> dict[str, Any]:
    """Return a layer as the documents of ``--json`` have it; ``digest`` and ``size`` are those of its blob."""
    return {"diff_id": str(diff_id), "digest": str(digest), "size": size, "paths": list(map(str, paths))}
