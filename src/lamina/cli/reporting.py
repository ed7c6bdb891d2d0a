"""Report progress and warnings on stderr while a verb works, and print its result.

Only the result goes to stdout, so that it can be piped to another program.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lamina.cli.output import print_script_output, print_stderr, print_stdout
from lamina.messages.redaction import clean
from lamina.messages.sizes import format_size

if TYPE_CHECKING:
    from lamina.api.load import LoadResult
    from lamina.cli.options import ReportOptions
    from lamina.core.names import Digest
    from lamina.core.progress import Progress
    from lamina.formats.referrers import Referrer
    from lamina.images.blob_totals import UpdateTotals
    from lamina.images.image import BuildResult
    from lamina.images.writers.push_result import RegistryPushResult
    from lamina.images.writers.registry_index import IndexPushResult
    from lamina.images.written_index import IndexBuildResult

JSON_VERSION = 1
# Between the facts of a summary.
_GAP = "  "


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


@contextlib.contextmanager
def open_bars(report: ReportOptions) -> Iterator[Progress]:
    """Open bars if ``report`` asks for them, for work that has no lines; otherwise nothing is shown."""
    from lamina.core.progress import Progress

    if report.is_silent or report.style != "bars":
        yield Progress()
    else:
        with open_progress(report) as progress:
            yield progress


def print_summary(facts: Sequence[str], report: ReportOptions, details: Sequence[str] = ()) -> None:
    """Print the last line of a verb on stderr: what came of it, and ``details`` of how, in columns.

    On a terminal that is too narrow, the details begin a second line, and each line is broken between its facts. It is
    not printed under ``--progress nix``, whose lines end with ``Done.``.
    """
    if report.is_silent or report.style == "nix":
        return
    width = _find_width()
    lines = [_GAP.join((*facts, *details))]
    if width is not None and len(lines[0]) > width:
        lines = [*join_facts(facts, width, ""), *join_facts(details, width, _GAP)]
    for line in lines:
        print_stderr(line)


def list_facts(image: BuildResult | LoadResult | RegistryPushResult, digest: Digest) -> tuple[str, ...]:
    """Return what the summary of an image begins with; ``digest`` is the one that names it there."""
    from lamina.core.labels import shorten_digest

    layers = format_count(len(image.layers), "layer")
    return image.repo_tag, shorten_digest(digest), image.platform, layers, format_size(image.size)


def print_image_summary(image: BuildResult, report: ReportOptions) -> None:
    """Print the summary of an image that was written."""
    facts = list_facts(image, image.digest)
    print_summary(facts, report, details=(_describe_written(image), f"{image.seconds:.1f} s"))
    print_update(image.repo_tag, image.update, report)


def print_push_summary(pushed: RegistryPushResult, report: ReportOptions) -> None:
    """Print the summary of an image that was pushed."""
    facts = list_facts(pushed, pushed.manifest_digest)
    sent = describe_blobs(pushed.blobs_sent, len({*pushed.blobs}), "sent", pushed.bytes_sent)
    mounted = (f"{pushed.blobs_mounted} mounted",) if pushed.blobs_mounted else ()
    print_summary(facts, report, details=(sent, *mounted, f"{pushed.seconds:.1f} s"))
    for referrer in pushed.attached:
        print_summary((f"{referrer.kind} of {pushed.repo_tag}", *_describe_referrer(referrer)), report)
    print_update(pushed.repo_tag, pushed.update, report)


def _describe_referrer(referrer: Referrer) -> tuple[str, str]:
    from lamina.core.labels import shorten_digest

    return shorten_digest(referrer.digest), referrer.artifact_type


def print_written_summary(written: BuildResult | IndexBuildResult, report: ReportOptions) -> None:
    """Print the summary of an image that was written; of images for several platforms one each, and of their index."""
    from lamina.images.image import BuildResult

    if isinstance(written, BuildResult):
        print_image_summary(written, report)
        return
    for image in written.images:
        print_image_summary(image, report)
    _print_index_summary(written, written.repo_tag, f"{format_size(written.bytes_written)} written", report)


def print_pushed_summary(pushed: RegistryPushResult | IndexPushResult, report: ReportOptions) -> None:
    """Print the summary of an image that was pushed; of images for several platforms one each, and of their index."""
    from lamina.images.writers.registry_index import IndexPushResult

    if not isinstance(pushed, IndexPushResult):
        print_push_summary(pushed, report)
        return
    for image in pushed.images:
        print_push_summary(image, report)
    sent = sum(image.bytes_sent for image in pushed.images)
    _print_index_summary(pushed, pushed.repo_tags[0], f"{format_size(sent)} sent", report)


def _print_index_summary(
    index: IndexBuildResult | IndexPushResult, name: str, moved: str, report: ReportOptions
) -> None:
    from lamina.core.labels import shorten_digest

    facts = (name, shorten_digest(index.digest), f"index of {format_count(len(index.images), 'image')}")
    print_summary(facts, report, details=(moved, f"{index.seconds:.1f} s"))


def print_update(name: str, update: UpdateTotals | None, report: ReportOptions) -> None:
    """Print what an update of the image ``name`` moves, if that is known and not nothing."""
    if update and (update.sent.count or update.gone.count):
        print_summary((f"update of {name}", *_list_update(update)), report)


def _list_update(update: UpdateTotals) -> Iterator[str]:
    """Yield what an update of an image moves, for its summary."""
    yield f"{format_count(update.sent.count, 'blob')} to send, {format_size(update.sent.size)}"
    yield f"{update.kept.count} kept, {format_size(update.kept.size)}"
    yield f"{update.gone.count} gone, {format_size(update.gone.size)}"


def _describe_written(image: BuildResult) -> str:
    if image.file is None or not os.path.isdir(image.file):
        return f"{format_size(image.bytes_written)} written"
    return describe_blobs(image.blobs_written, len(image.blobs), "written", image.bytes_written)


def describe_blobs(count: int, total: int, verb: str, size: int) -> str:
    """Return how many of an image's blobs were moved, such as ``3 of 100 blobs sent, 41.3 MiB``."""
    moved = f"{count} of {format_count(total, 'blob')} {verb}"
    return f"{moved}, {format_size(size)}" if count else moved


def format_count(count: int, noun: str) -> str:
    """Return a number with its noun, such as ``1 layer``, ``3 layers`` or ``3 entries``."""
    if count == 1:
        return f"{count} {noun}"
    return f"{count} {noun[:-1]}ies" if noun.endswith("ry") else f"{count} {noun}s"


def _find_width() -> int | None:
    """Return the width of the terminal that stderr is; None if it is no terminal, or does not say."""
    if not sys.stderr.isatty():
        return None
    columns = os.environ.get("COLUMNS", "")
    with contextlib.suppress(OSError, ValueError):
        return (int(columns) if columns.isdecimal() else os.get_terminal_size(sys.stderr.fileno()).columns) or None
    return None


def join_facts(facts: Iterable[str], width: int, indent: str) -> Iterator[str]:
    """Yield lines of facts that are not longer than ``width``, unless a single fact is; the first one is indented."""
    line = indent
    for fact in facts:
        if not line.strip():
            line += fact
        elif len(line) + len(_GAP) + len(fact) <= width:
            line += _GAP + fact
        else:
            yield line
            line = _GAP + fact
    if line.strip():
        yield line


def warn(warnings: Collection[str], report: ReportOptions) -> int:
    """Print ``warnings`` and return their number.

    They are not printed under ``--quiet``, nor under ``--json``, where the document contains them.
    """
    if not report.is_silent:
        for warning in warnings:
            print_stderr(f"lamina: warning: {warning}")
    return len(warnings)


def explain(decisions: Iterable[str], report: ReportOptions) -> None:
    """Print what was decided under ``--verbose``, unless ``--quiet`` or ``--json`` is given too."""
    if report.verbose and not report.is_silent:
        for decision in decisions:
            print_stderr(f"lamina: info: {decision}")


def show_script_output(text: str, report: ReportOptions) -> None:
    """Print the output of scripts, except under ``--quiet`` and ``--json``."""
    if text and not report.is_silent:
        print_script_output(text)


def print_json(document: Mapping[str, Any], *, to_stderr: bool = False) -> None:
    """Print a result as JSON, with the version of the format as its first key.

    Secrets in its warnings, and in those of its parts, are hidden as in printed warnings.

    Args:
        document: The other keys of the result.
        to_stderr: Print on stderr, because stdout carries an image.
    """
    import json

    cleaned = {"warnings": [], **_clean_warnings(document)}
    warnings = cleaned.pop("warnings")
    text = json.dumps({"version": JSON_VERSION, **cleaned, "warnings": warnings}, indent=2)
    if to_stderr:
        print(text, file=sys.stderr)
    else:
        print_stdout(text)


def _clean_warnings(value: Any, *, is_warning: bool = False) -> Any:
    """Return a part of a document with the secrets in each list ``warnings`` hidden."""
    if isinstance(value, Mapping):
        return {key: _clean_warnings(item, is_warning=key == "warnings") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean_warnings(item, is_warning=is_warning) for item in value]
    return clean(value) if is_warning and isinstance(value, str) else value
