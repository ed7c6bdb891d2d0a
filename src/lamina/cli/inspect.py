"""``lamina inspect``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import lamina
from lamina.cli.command import option, verb
from lamina.cli.documents.inspection import dump_inspection
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
from lamina.messages.sizes import format_size

if TYPE_CHECKING:
    from lamina.core.names import Digest
    from lamina.images.readers.image_index import ImageIndex
    from lamina.images.readers.source_image import InspectedImage, InspectedLayer


@verb("inspect", "lamina inspect hello.tar.gz", "lamina inspect ghcr.io/me/app:1 --json")
@image_argument("image", "IMAGE[#NAME]", REFERENCE_HELP)
@reader_options
@argument_options("registry", *list_flags("insecure"))
@option("--full", section="output", is_flag=True, help="Print whole digests, and every store path of each layer.")
@option(
    "--attached",
    section="registry",
    is_flag=True,
    help="List the documents that are attached to an image in a registry, such as its software bill of materials.",
)
@result_options
def command(
    image: str, reader: ReaderOptions, report: ReportOptions, *, registry: Mapping[str, Any], full: bool, attached: bool
) -> None:
    """Show the ID, names and layers of IMAGE, and the store paths in each layer.

    Every digest of a file is computed from the bytes. A file that contradicts itself is an error. Of an image in a
    registry, only the manifest and the config are read; its history says which store paths a layer has. Of an image for
    several platforms, the index is shown, and then the image for each platform; --platform chooses one.
    """
    with open_bars(report) as progress:
        images = lamina.inspect(image, attached=attached, progress=progress, **reader._asdict(), **registry)
    warn(images.warnings, report)
    if report.as_json:
        print_json(dump_inspection(images))
        return
    printed: set[Digest] = set()
    for number, item in enumerate(images):
        if number:
            print_stdout("")
        for index in item.indexes:
            if index.digest not in printed:
                printed.add(index.digest)
                _print_index(index, full=full)
        title = ", ".join((*item.repo_tags, *item.tags)) or "no name"
        fields = list(_list_fields(item, full=full))
        if attached and not item.attached:
            fields.append(("attached", "nothing"))
        print_fields(title, fields, is_whole=full)
        print_stdout("")
        _print_layers(item.layers, full=full)


def _print_index(index: ImageIndex, *, full: bool) -> None:
    title = ", ".join((*index.repo_tags, *index.tags)) or "no name"
    print_fields(title, list(_list_index_fields(index, full=full)), is_whole=full)
    print_stdout("")


def _list_index_fields(index: ImageIndex, *, full: bool) -> Iterator[tuple[str, str]]:
    yield "index", str(index.digest) if full else shorten_digest(index.digest)
    yield "platforms", ", ".join(map(str, index.platforms)) or "not stated"
    if count := sum(listed.is_attestation for listed in index.manifests):
        yield "attestations", str(count)
    yield from (("annotation", f"{key}={value}") for key, value in index.annotations.items())


def _list_fields(image: InspectedImage, *, full: bool) -> Iterator[tuple[str, str]]:
    yield "id", image.id if full else shorten_digest(image.digest)
    yield "platform", image.platform or "not stated"
    yield "created", str(image.config.get("created") or "not stated")
    yield "size", format_size(sum(layer.size for layer in image.layers))
    yield "layers", str(len(image.layers))
    if digest := image.manifest_digest:
        yield "manifest", str(digest) if full else shorten_digest(digest)
    yield from (("annotation", f"{key}={value}") for key, value in image.annotations.items())
    for referrer in image.attached:
        shown = str(referrer.digest) if full else shorten_digest(referrer.digest)
        yield "attached", f"{referrer.artifact_type or 'unknown type'} {shown}"


def _print_layers(layers: Sequence[InspectedLayer], *, full: bool) -> None:
    columns = [Column("LAYER", is_number=True), Column("SIZE", is_number=True), Column("DIFF ID", style="dim")]
    if full:
        columns += [Column("DIGEST", style="dim"), Column("PATH SIZE", is_number=True)]
    columns.append(Column("PATH" if full else "PATHS", is_flexible=True))
    list_rows = _list_paths if full else _list_layer
    rows = (row for number, layer in enumerate(layers, 1) for row in list_rows(str(number), layer))
    print_table(columns, rows, is_whole=full)


def _list_layer(number: str, layer: InspectedLayer) -> Iterator[Sequence[str]]:
    paths = summarize_layer_paths(layer.paths, layer.path_sizes)
    yield number, format_size(layer.size), shorten_digest(layer.diff_id), paths


def _list_paths(number: str, layer: InspectedLayer) -> Iterator[Sequence[str]]:
    cells = [format_size(layer.size), str(layer.diff_id), str(layer.digest)]
    if not layer.paths:
        yield number, *cells, "", NO_PATHS
    for path, size in zip_longest(layer.paths, layer.path_sizes):
        yield number, *cells, "" if size is None else format_size(size), str(path)
        cells = ["", "", ""]
