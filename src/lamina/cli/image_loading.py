"""Load images into container engines, for the verbs ``load`` and ``run``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lamina.cli.command import option
from lamina.cli.image_options import has_several_platforms, prepare_stream
from lamina.cli.options import Choice, ReportOptions
from lamina.cli.reporting import (
    describe_blobs,
    explain,
    list_facts,
    open_progress,
    print_summary,
    show_script_output,
    warn,
)
from lamina.engines.names import ENGINE_NAMES
from lamina.errors import InvalidArgument

if TYPE_CHECKING:
    from lamina.api.load import LoadResult
    from lamina.inputs.arguments import ImageArguments


def into_option() -> Callable[..., Any]:
    """Return the decorator of the option ``--into``."""
    return option(
        "--into",
        section="output",
        type=Choice(ENGINE_NAMES),
        completion=ENGINE_NAMES,
        metavar="|".join(ENGINE_NAMES),
        help="The engine that gets the image.  [default: the first of them whose program is installed]",
    )


def load_image(into: str | None, arguments: ImageArguments, report: ReportOptions) -> LoadResult:
    """Load the image of ``arguments``, and report on stderr."""
    if has_several_platforms(arguments):
        hint = "a local engine runs one of them; lamina push is for all"
        raise InvalidArgument("--platform", "several platforms", "one to load", hint=hint)
    with prepare_stream(arguments, report) as stream:
        explain(stream.decisions, report)
        show_script_output(stream.script_output, report)
        reported = warn(stream.warnings, report)
        with open_progress(report) as progress:
            loaded = stream.load(into, progress=progress)
    warn(loaded.warnings[reported:], report)
    _print_load_summary(loaded, report)
    return loaded


def _print_load_summary(loaded: LoadResult, report: ReportOptions) -> None:
    sent = describe_blobs(loaded.blobs_sent, len(loaded.blobs), f"sent to {loaded.engine}", loaded.bytes_sent)
    print_summary(list_facts(loaded, loaded.digest), report, details=(sent, f"{loaded.seconds:.1f} s"))
