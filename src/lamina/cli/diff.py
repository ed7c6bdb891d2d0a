"""``lamina diff``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

import lamina
from lamina.cli.command import option, verb
from lamina.cli.completers import make_completer
from lamina.cli.documents.diff import dump_diff
from lamina.cli.html_page import html_option, write_page
from lamina.cli.options import (
    REFERENCE_HELP,
    ReaderOptions,
    ReportOptions,
    argument_options,
    image_argument,
    list_flags,
    reader_options,
    result_options,
)
from lamina.cli.output import print_stdout
from lamina.cli.reporting import open_bars, print_json, warn
from lamina.cli.tables import Column, print_fields, print_table
from lamina.core.labels import NO_PATHS, shorten_digest, summarize_layer_paths
from lamina.images.diff_texts import (
    NO_PLATFORM,
    describe_change,
    describe_package,
    describe_platforms,
    describe_sizes,
    describe_total,
    list_setting,
    name_images,
)
from lamina.messages.sizes import format_size

if TYPE_CHECKING:
    from lamina.images.config_changes import ConfigChange
    from lamina.images.diff import DiffImage, DiffResult, LayerChange, PackageChange


@verb("diff", "lamina diff app-1.tar app-2.tar", "lamina diff ghcr.io/me/app:1 images/#app:2 --html update.html")
@image_argument("old", "OLD[#NAME]", REFERENCE_HELP)
@click.argument(
    "new",
    metavar="NEW[#NAME]",
    help="The image that OLD is updated to, in the same form.",
    shell_complete=make_completer("file"),
)
@reader_options
@argument_options("registry", *list_flags("insecure"))
@option(
    "--full",
    section="output",
    is_flag=True,
    help="List also what both images have, with whole digests, store paths and values.",
)
@html_option("Write a page that shows the layers and packages that are kept, sent and gone, and their bytes.")
@result_options
def command(
    old: str,
    new: str,
    reader: ReaderOptions,
    report: ReportOptions,
    *,
    registry: Mapping[str, Any],
    full: bool,
    html: str | None,
) -> None:
    """Show which layers, packages and settings differ between two images, and how many bytes an update moves.

    Blobs that both images have are kept; blobs that only NEW has are sent. Sizes are those of the blobs as the images
    store them: compressed in registries and most OCI layouts, plain tars in most archives. A layer's size is shared out
    to its store paths by the size of their files. Images for several platforms are compared for each that both have;
    platforms that only one has are named. --platform chooses one. The exit code is 0 whether the images differ or not.
    """
    with open_bars(report) as progress:
        result = lamina.diff(old, new, progress=progress, **reader._asdict(), **registry)
    warn(result.warnings, report)
    if html:
        from lamina.reports.diff_page import make_diff_page

        write_page(html, make_diff_page(result))
    if report.as_json:
        print_json(dump_diff(result))
        return
    for number, compared in enumerate(result.platforms):
        if number:
            print_stdout("")
        _print_comparison(compared, full=full)
    _print_missing([("gone", image) for image in result.only_old] + [("added", image) for image in result.only_new])


def _print_comparison(result: DiffResult, *, full: bool) -> None:
    """Print what differs between two images, for one platform."""
    print_fields(name_images(result), list(_list_fields(result, full=full)), is_whole=full)
    _print_packages(result.packages, full=full)
    _print_layers(result.layers, full=full)
    _print_config(result.config, full=full)


def _print_missing(images: Sequence[tuple[str, DiffImage]]) -> None:
    """Print a table of the images for platforms that only one of the two has."""
    columns = [Column("PLATFORM", is_flexible=True), Column("CHANGE", style="dim"), Column("LAYERS", is_number=True)]
    columns += [Column("SIZE", is_number=True), Column("ID", style="dim")]
    rows = [
        (
            image.platform or NO_PLATFORM,
            change,
            str(image.layer_count),
            format_size(image.size),
            shorten_digest(image.digest),
        )
        for change, image in images
    ]
    _print_part(columns, rows, full=False)


def _list_fields(result: DiffResult, *, full: bool) -> Iterator[tuple[str, str]]:
    old, new = result.old, result.new
    ids = (old.id, new.id) if full else (shorten_digest(old.digest), shorten_digest(new.digest))
    yield "id", describe_change(*ids)
    yield "platform", describe_platforms(result)
    yield "size", describe_sizes(result)
    yield "kept", describe_total(result.kept)
    yield "sent", describe_total(result.sent)
    yield "gone", describe_total(result.gone)


def _print_packages(packages: Sequence[PackageChange], *, full: bool) -> None:
    shown = [package for package in packages if full or package.change != "kept"]
    columns = [Column("PACKAGE", is_flexible=True), Column("CHANGE", style="dim")]
    columns += [Column(title, is_number=True) for title in (("KEPT",) if full else ()) + ("SENT", "GONE")]
    rows = [(describe_package(item, is_whole=full), item.change, *_list_sizes(item, full=full)) for item in shown]
    _print_part(columns, rows, full=full)


def _list_sizes(package: PackageChange, *, full: bool) -> Iterator[str]:
    sizes = (package.sent_size, package.gone_size)
    return (format_size(size) if size else "" for size in ((package.kept_size, *sizes) if full else sizes))


def _print_layers(layers: Sequence[LayerChange], *, full: bool) -> None:
    columns = [Column("LAYER", is_number=True), Column("CHANGE", style="dim"), Column("SIZE", is_number=True)]
    if full:
        columns += [Column("DIFF ID", style="dim"), Column("DIGEST", style="dim")]
    columns.append(Column("PATH" if full else "PATHS", is_flexible=True))
    list_rows = _list_paths if full else _list_layer
    rows = [row for layer in layers if full or layer.change != "kept" for row in list_rows(layer)]
    _print_part(columns, rows, full=full)


def _list_layer(layer: LayerChange) -> Iterator[Sequence[str]]:
    paths = summarize_layer_paths(layer.paths, layer.path_sizes)
    yield str(layer.number), layer.change, format_size(layer.size), paths


def _list_paths(layer: LayerChange) -> Iterator[Sequence[str]]:
    cells = [str(layer.number), layer.change, format_size(layer.size), str(layer.diff_id), str(layer.digest)]
    for path in layer.paths or (NO_PATHS,):
        yield *cells, str(path)
        cells = [""] * len(cells)


def _print_config(changes: Sequence[ConfigChange], *, full: bool) -> None:
    columns = [Column("CONFIG", is_flexible=True), Column("OLD", is_flexible=True), Column("NEW", is_flexible=True)]
    _print_part(columns, list(map(list_setting, changes)), full=full)


def _print_part(columns: Sequence[Column], rows: Sequence[Sequence[str]], *, full: bool) -> None:
    """Print a table after an empty line; print nothing if it has no rows."""
    if rows:
        print_stdout("")
        print_table(columns, rows, is_whole=full)
