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
    format_count,
    open_progress,
    print_summary,
    show_script_output,
    warn,
)
from lamina.errors import InvalidArgument
from lamina.messages.sizes import format_size

if TYPE_CHECKING:
    from lamina.api.load import LoadResult
    from lamina.inputs.arguments import ImageArguments

# As in lamina.engines.find, which takes longer to import.
_ENGINES = ("docker", "podman", "containerd")


def into_option() -> Callable[..., Any]:
    """Return the decorator of the option ``--into``."""
    return option(
        "--into",
        section="output",
        type=Choice(_ENGINES),
        completion=_ENGINES,
        metavar="|".join(_ENGINES),
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
    from lamina.core.labels import shorten_digest

    facts = (
        loaded.repo_tag,
        shorten_digest(loaded.digest),
        loaded.platform,
        format_count(len(loaded.layers), "layer"),
        format_size(loaded.size),
    )
    sent = describe_blobs(loaded.blobs_sent, len(loaded.blobs), f"sent to {loaded.engine}", loaded.bytes_sent)
    print_summary(facts, report, details=(sent, f"{loaded.seconds:.1f} s"))
