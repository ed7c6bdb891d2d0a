"""``lamina batch``."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from lamina.cli.attachment_options import attachment_options
from lamina.cli.batch_images import load_images
from lamina.cli.command import option, verb
from lamina.cli.completers import make_completer
from lamina.cli.documents.batches import dump_batch
from lamina.cli.html_page import open_page, page_option
from lamina.cli.options import ReportOptions, argument_options, list_flags, output_option, progress_options
from lamina.cli.output import print_stderr, print_stdout
from lamina.cli.reporting import format_count, print_json, print_summary, warn
from lamina.errors import InvalidArgument
from lamina.inputs.declarations import Flag
from lamina.messages.redaction import short_repr
from lamina.messages.sizes import format_size

if TYPE_CHECKING:
    from lamina.api.batch_options import BatchOptions
    from lamina.cli.batch_lines import BatchLines
    from lamina.cli.batch_table import BatchTable
    from lamina.fleet.results import BatchProgress, BatchResult
    from lamina.images.software import SbomFormat

_IMAGES = ("platforms", "created", "sandbox", "locked", "media_types")
_SOURCES = ("store", "trusted_keys", "verify_signatures", "channel", "insecure")
_LAYERS = ("max_layers", "layering", "layer_compression")
_SPEED = ("jobs", "layer_cache", "blob_cache", "verify")
# Failed images and warnings are listed up to this number, because those of thousands often have the same reason.
_MAX_LISTED = 100


def _list_flags() -> Iterator[Flag]:
    """Yield the flags of arguments, with the layering that a batch has by default."""
    for flag in list_flags(*_IMAGES, *_SOURCES, *_LAYERS, *_SPEED):
        yield flag._replace(help=flag.help.replace("[default: cost]", "[default: shared]"))


@verb(
    "batch",
    "lamina batch lamina.toml --to ghcr.io/me",
    "lamina batch web.toml jobs.toml#nightly -o images/",
    "lamina batch lamina.toml --to ghcr.io/me --on tcp://10.0.0.1:8786",
)
@click.argument(
    "specs",
    metavar="SPEC...",
    nargs=-1,
    required=True,
    help="The images: all of a TOML or JSON file, or one of them, as FILE#NAME. Options hold for all images.",
    shell_complete=make_completer("file"),
)
@option(
    "--to",
    section="registry",
    metavar="REGISTRY[/PREFIX]",
    help="Push each image to this place, below which it has the name and the tag of its table.  [default: the name of "
    "the table itself, and latest]",
)
@attachment_options()
@output_option("DIR/", "Write all images to this OCI layout, which is created if it is missing.")
@option(
    "--on",
    "where",
    section="speed",
    metavar="local[:N]|tcp://HOST:PORT",
    default="local",
    help="Make layers in N worker processes of this machine, or on the workers of the Dask cluster with this "
    "scheduler.  [default: local, with as many as --jobs]",
)
@option(
    "--keep-going",
    section="output",
    is_flag=True,
    help="Build what can be built, list the images that failed, and exit with the code of the first; the default.",
)
@option("--fail-fast", section="output", is_flag=True, help="End at the first error.")
@page_option(
    "--report", "report_file", "Write a page that shows the images, the layers that they share, and what was sent."
)
@argument_options("given", *_list_flags())
@progress_options
def command(
    specs: tuple[str, ...],
    to: str | None,
    output: str | None,
    where: str,
    report_file: str | None,
    sbom: SbomFormat | None,
    given: Mapping[str, Any],
    report: ReportOptions,
    *,
    provenance: bool,
    keep_going: bool,
    fail_fast: bool,
) -> None:
    """Build the images of spec files together, here or on a Dask cluster; every distinct layer is made and sent once.

    Images whose tables name no layering are planned together, so that they share layers. Layers that the registry has,
    or that another image of the batch sent, are mounted. All tables are checked before anything is made. After that,
    an image that fails stops no other. A batch that is run again continues. Prints REF@sha256:DIGEST for each image
    that --to names.
    """
    from lamina.api.batch import batch_tables

    if keep_going and fail_fast:
        raise InvalidArgument("--fail-fast", "it and --keep-going", "one of them")
    options = replace(
        _make_options(to, output, where, given, fail_fast=fail_fast), sbom=sbom, has_provenance=provenance
    )
    images = load_images(specs, given)
    with contextlib.ExitStack() as resources:
        # A page that cannot be written ends the batch before it begins.
        page = resources.enter_context(open_page(report_file)) if report_file else None
        with _open_progress(report) as progress:
            result = batch_tables(images.picked, replace(options, progress=progress), images.others)
        if page:
            page.write(memoryview(_make_report(to or output or "", result)))
    _print_result(result, report, has_references=to is not None)
    if error := next((image.error for image in result.failed), None):
        sys.exit(error.exit_code)


def _make_options(
    to: str | None, output: str | None, where: str, given: Mapping[str, Any], *, fail_fast: bool
) -> BatchOptions:
    from lamina.api.batch_options import BatchOptions, parse_destination
    from lamina.fleet.where import parse_where
    from lamina.system.cpus import cpu_count
    from lamina.system.output import is_layout

    if (to is None) == (output is None):
        got = "neither of --to and -o" if to is None else "--to and -o"
        raise InvalidArgument(
            "batch", got, "one of them", hint="--to ghcr.io/me pushes, -o images/ writes an OCI layout"
        )
    if output is not None and not is_layout(output):
        raise InvalidArgument("-o", short_repr(output), "a folder", hint="an OCI layout ends in /: -o images/")
    destination = parse_destination(to, output, insecure=given.get("insecure", False))
    return BatchOptions(destination, parse_where("--on", where, given.get("jobs") or cpu_count()), fail_fast=fail_fast)


@contextlib.contextmanager
def _open_progress(report: ReportOptions) -> Iterator[BatchProgress]:
    """Open the display of the progress; the table is removed from the terminal when the block ends."""
    from lamina.fleet.results import BatchProgress

    if report.is_silent:
        yield BatchProgress()
        return
    display: BatchLines | BatchTable
    if report.style == "bars":
        from lamina.cli.batch_table import BatchTable

        display = BatchTable(sys.stderr)
    else:
        from lamina.cli.batch_lines import BatchLines

        display = BatchLines(sys.stderr)
    try:
        yield display
    finally:
        display.stop()


def _make_report(title: str, result: BatchResult) -> bytes:
    from lamina.api.batch_page import make_report

    return make_report(title, result)


def _print_result(result: BatchResult, report: ReportOptions, *, has_references: bool) -> None:
    if report.as_json:
        print_json(dump_batch(result))
        return
    warn(list(_list_warnings(result)), report)
    print_summary(list(_list_facts(result)), report, details=list(_list_details(result)))
    _print_failures(result)
    for image in result.images if has_references else ():
        if image.digest:
            print_stdout(f"{image.reference}@{image.digest}")


def _list_warnings(result: BatchResult) -> Iterator[str]:
    """Yield each warning once, with the first image that it is about and the number of the others."""
    yield from result.warnings
    about: dict[str, list[str]] = {}
    for image in result.images:
        for text in image.warnings:
            about.setdefault(text, []).append(image.name)
    for text, names in list(about.items())[:_MAX_LISTED]:
        if text not in result.warnings:
            more = f" and {format_count(len(names) - 1, 'more image')}" if names[1:] else ""
            yield f"image {names[0]}{more}: {text}"
    if len(about) > _MAX_LISTED:
        yield f"{format_count(len(about) - _MAX_LISTED, 'more warning')} about images; --json lists them"


def _list_facts(result: BatchResult) -> Iterator[str]:
    done = len(result.images) - len(result.failed)
    yield format_count(len(result.images), "image") if not result.failed else f"{done} of {len(result.images)} images"
    yield format_count(len(result.layers), "layer")
    yield f"{result.layers_made} made"
    yield f"{result.layers_reused} reused"
    if result.blobs_mounted:
        yield f"{result.blobs_mounted} mounted"


def _list_details(result: BatchResult) -> Iterator[str]:
    yield f"{format_size(result.bytes_read)} read"
    yield f"{format_size(result.bytes_sent)} sent"
    yield f"{format_size(result.bytes_saved)} saved"
    yield result.workers
    yield f"{result.seconds:.1f} s"


def _print_failures(result: BatchResult) -> None:
    """Print the error of each image that failed, also under ``--quiet``."""
    from lamina.cli.failures import Failure

    for image in result.failed[:_MAX_LISTED]:
        if image.error:
            Failure.of(image.error).print()
    if len(result.failed) > _MAX_LISTED:
        more = format_count(len(result.failed) - _MAX_LISTED, "more image")
        print_stderr(f"lamina: {more} failed; --json lists them")
