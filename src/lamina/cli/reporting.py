"""Report progress and warnings on stderr while a verb works, and print its result.

Only the result goes to stdout, so that it can be piped to another program.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from lamina.cli.output import print_script_output, print_stderr, print_stdout
from lamina.messages.redaction import clean

if TYPE_CHECKING:
    from lamina.cli.options import ReportOptions
    from lamina.core.names import Digest, StorePath
    from lamina.images.image import Image
    from lamina.images.progress import Progress

JSON_VERSION = 1


@contextlib.contextmanager
def open_progress(report: ReportOptions) -> Iterator[Progress]:
    """Open the progress display that ``report`` asks for.

    It draws bars on a terminal, prints lines elsewhere or under ``--progress plain``, and is silent under ``--quiet``
    and ``--json``. Bars are removed from the terminal when the block ends, also by an exception.
    """
    if report.is_silent:
        from lamina.images.progress import Progress

        yield Progress()
    elif report.draws_bars:
        from lamina.cli.progress_bars import ProgressBars

        bars = ProgressBars(sys.stderr)
        try:
            yield bars
        finally:
            bars.stop()
    else:
        from lamina.cli.progress_lines import ProgressLines

        yield ProgressLines(sys.stderr)


def print_summary(summary: str, report: ReportOptions) -> None:
    """Print the last line of a verb whose result is not one new image: ``summary`` on a terminal, else ``Done.``."""
    if not report.is_silent:
        print_stderr(summary if report.draws_bars else "Done.")


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


def dump_image(image: Image, warnings: Iterable[str]) -> dict[str, Any]:
    """Return the result of ``--json`` for an image that was written."""
    return {
        "id": image.id,
        "repo_tags": [image.repo_tag],
        "layers": [dump_layer(layer.diff_id, layer.diff_id, layer.size, layer.paths) for layer in image.layers],
        "warnings": list(warnings),
    }


def dump_layer(diff_id: Digest, digest: Digest, size: int, paths: Iterable[StorePath]) -> dict[str, Any]:
    """Return a layer as the documents of ``--json`` have it; ``digest`` and ``size`` are those of its blob."""
    return {"diff_id": str(diff_id), "digest": str(digest), "size": size, "paths": list(map(str, paths))}
