"""``lamina sbom``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

import lamina
from lamina.cli.command import option, verb
from lamina.cli.completers import make_completer
from lamina.cli.documents.sbom import dump_sbom
from lamina.cli.image_files import is_image
from lamina.cli.image_options import get_source_date_epoch
from lamina.cli.options import (
    Choice,
    ReaderOptions,
    ReportOptions,
    argument_options,
    list_flags,
    output_option,
    reader_options,
    result_options,
)
from lamina.cli.output import print_stdout
from lamina.cli.reporting import open_bars, print_json, warn
from lamina.errors import InvalidArgument
from lamina.inputs.arguments import ARGUMENTS

if TYPE_CHECKING:
    from lamina.images.software import SbomResult

_FORMATS = ("cyclonedx", "spdx")
_CREATED = (
    ARGUMENTS["created"]
    .flags[0]
    ._replace(
        section="output",
        help="Set the date of the document: ISO 8601, @SECONDS since 1970, or now.  [default: that of IMAGE; for ROOTs "
        "SOURCE_DATE_EPOCH if that is set, else 1970-01-01T00:00:01Z]",
    )
)


@verb(
    "sbom",
    "lamina sbom hello > hello.cdx.json",
    "lamina sbom hello --channel nixos-25.11 --format spdx -o hello.spdx.json",
    "lamina sbom images/#app:1 --store / -o app.cdx.json",
)
@click.argument(
    "items",
    metavar="ROOT...|IMAGE",
    nargs=-1,
    required=True,
    help="What an image can be made of: store paths, links to store paths, package names, and what Nix builds. Or one "
    "image: an image file, an OCI layout, or a reference to an image in a registry.",
    shell_complete=make_completer("file"),
)
@option(
    "--format",
    "kind",
    section="output",
    type=Choice(_FORMATS),
    completion=_FORMATS,
    default="cyclonedx",
    metavar="cyclonedx|spdx",
    help="Write CycloneDX 1.6 or SPDX 2.3, both as JSON.  [default: cyclonedx]",
)
@output_option("FILE", "The file to write; - is stdout.  [default: -]", default="-")
@argument_options(
    "arguments",
    _CREATED,
    *list_flags("store", "trusted_keys", "verify_signatures", "channel", "offline", "insecure"),
)
@reader_options
@result_options
def command(
    items: tuple[str, ...],
    kind: str,
    output: str,
    arguments: Mapping[str, Any],
    reader: ReaderOptions,
    report: ReportOptions,
) -> None:
    """Write the software bill of materials (SBOM) of ROOT... with everything they need, or of IMAGE.

    It lists the package, version, store path, NAR hash and references of each store path. Nothing is scanned, and no
    store path is read or downloaded, except those from which --platform chooses because they have one name. An image
    holds neither hashes nor references; --store names a store that has them. The same input gives the same bytes: the
    date of the document is that of the image, or of --created.
    """
    from lamina.system.output import parse_output_file

    if output != "-":
        parse_output_file(output)
    result = _make_sbom(items, {"format": kind, **arguments}, reader, report)
    warn(result.warnings, report)
    if output == "-":
        print_stdout(result.document.decode().removesuffix("\n"))
    else:
        with lamina.open_output(output, compressor="none") as target:
            target.write(memoryview(result.document))
    if report.as_json:
        print_json(dump_sbom(output, result), to_stderr=output == "-")
    elif output != "-":
        print_stdout(output)


def _make_sbom(
    items: tuple[str, ...], arguments: dict[str, Any], reader: ReaderOptions, report: ReportOptions
) -> SbomResult:
    from lamina.cli.default_paths import get_default_channel_lists, get_default_embedded_store

    arguments = {
        "embedded_store": get_default_embedded_store(),
        "channel_lists": get_default_channel_lists(),
        **arguments,
    }
    images = [item for item in items if is_image(item)]
    if images and len(items) > 1:
        raise InvalidArgument(images[0], f"an image among {len(items)} arguments", "ROOTs alone, or one image alone")
    if images:
        with open_bars(report) as progress:
            return lamina.image_sbom(images[0], progress=progress, **reader._asdict(), **arguments)
    for_images = {"max_unpacked_size": reader.max_unpacked_size, "insecure": arguments.pop("insecure", None)}
    for name, value in for_images.items():
        if value is not None:
            raise InvalidArgument(f"--{name.replace('_', '-')}", "ROOTs", "an image")
    if epoch := get_source_date_epoch():
        arguments.setdefault("created", epoch)
    return lamina.sbom(items, platform=reader.platform, search_path=os.environ.get("PATH", os.defpath), **arguments)
