"""``lamina verify``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import lamina
from lamina.cli.command import option, verb
from lamina.cli.default_paths import get_default_embedded_store
from lamina.cli.documents.verify import dump_image_verification
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
from lamina.cli.output import escape_controls, print_stdout
from lamina.cli.reporting import format_count, open_bars, print_json, warn
from lamina.cli.tables import Column, print_table
from lamina.core.labels import shorten_digest
from lamina.errors import IntegrityError, NotFound
from lamina.images.verification import VERDICTS
from lamina.messages.sizes import format_size

if TYPE_CHECKING:
    from lamina.images.verification import ImageVerificationResult, VerifiedLayer
    from lamina.inputs.arguments import StoreArguments

# Without --full, the others are counted instead of listed.
_MAX_UNSIGNED = 10
_MISSING_HINT = "name a store that has it with --store, such as the binary cache that the image was made from"

_DIFFERENCE_HINT = (
    "the layer was changed or damaged, or it was made from another build of the store path than the one in the stores"
)
_UNSIGNED_HINT = (
    "--trusted-key NAME:BASE64 trusts another key; with --no-verify-signatures, reproduced layers need no signature"
)


@verb(
    "verify",
    "lamina verify hello.tar.gz",
    "lamina verify me/app:1 --store https://cache.example --trusted-key NAME:BASE64",
)
@image_argument("image", "IMAGE[#NAME]", REFERENCE_HELP)
@reader_options
@argument_options("registry", *list_flags("insecure"))
@argument_options("sources", *list_flags("store", "trusted_keys", "verify_signatures", "offline"))
@option(
    "--full",
    section="output",
    is_flag=True,
    help="Read all layers of an image in a registry, and list every store path with the key that signed it.",
)
@result_options
def command(
    image: str,
    reader: ReaderOptions,
    report: ReportOptions,
    *,
    registry: Mapping[str, Any],
    sources: StoreArguments,
    full: bool,
) -> None:
    """Make the layers of IMAGE again from signed store paths, and say of each whether it is the same.

    A layer is "reproduced and signed" if the store paths that the image's history lists give its diff ID, and a trusted
    key signed each; "reproduced" if one is not signed; it "differs" if they do not give it, and the first file that
    differs is named. Nothing is proven of layers that are "not of store paths", and of the config. A file is read
    whole; of an image in a registry, only headers are read. The exit code is 6 if a layer differs, or if a path is not
    signed although --trusted-key is given.
    """
    with open_bars(report) as progress:
        result = lamina.verify_image(
            image,
            full=full,
            embedded_store=get_default_embedded_store(),
            progress=progress,
            **reader._asdict(),
            **registry,
            **sources,
        )
    warn(result.warnings, report)
    if report.as_json:
        print_json(dump_image_verification(result))
    else:
        _print_result(result, full=full)
    if result.failures:
        raise _make_error(result.failures[0])


def _print_result(result: ImageVerificationResult, *, full: bool) -> None:
    columns = [Column("LAYER", is_number=True), Column("SIZE", is_number=True), Column("VERDICT")]
    columns.append(Column("PATH" if full else "PATHS", is_flexible=True))
    if full:
        columns.append(Column("KEY"))
    list_rows = _list_paths if full else _list_layer
    print_table(columns, [row for layer in result.layers for row in list_rows(layer)], is_whole=full)
    for layer in result.layers:
        if layer.reason:
            print_stdout(escape_controls(f"layer {layer.number}: {layer.reason}"))
    _print_unsigned_paths(result)
    print_stdout(escape_controls("  ".join(_summarize(result))))


def _print_unsigned_paths(result: ImageVerificationResult) -> None:
    unsigned = [(layer.number, checked.reason) for layer in result.layers for checked in layer.unsigned_paths]
    for number, reason in unsigned[:_MAX_UNSIGNED]:
        print_stdout(escape_controls(f"layer {number}: {reason}"))
    if len(unsigned) > _MAX_UNSIGNED:
        more = format_count(len(unsigned) - _MAX_UNSIGNED, "more store path")
        print_stdout(f"{more} without a trusted signature; --full lists them")


def _list_layer(layer: VerifiedLayer) -> Iterator[Sequence[str]]:
    yield str(layer.number), format_size(layer.size), layer.verdict, layer.name


def _list_paths(layer: VerifiedLayer) -> Iterator[Sequence[str]]:
    cells = [str(layer.number), format_size(layer.size), layer.verdict]
    keys = {checked.path: checked.key or "none" for checked in layer.checked_paths}
    if not layer.paths:
        yield *cells, layer.name, ""
    for path in layer.paths:
        yield *cells, str(path), keys.get(path, "")
        cells = ["", "", ""]


def _summarize(result: ImageVerificationResult) -> Iterator[str]:
    yield next(iter(result.repo_tags), "no name")
    yield shorten_digest(result.digest)
    yield format_count(len(result.layers), "layer")
    yield ", ".join(f"{count} {verdict}" for verdict in VERDICTS if (count := result.count(verdict))) or "no verdict"
    if not result.is_whole:
        yield f"{format_size(result.bytes_read)} of {format_size(sum(layer.size for layer in result.layers))} read"


def _make_error(layer: VerifiedLayer) -> IntegrityError | NotFound:
    if layer.verdict == "not in the stores":
        return NotFound(f"layer {layer.number}: {layer.reason}", hint=_MISSING_HINT)
    reason = layer.reason or layer.unsigned_paths[0].reason
    hint = _DIFFERENCE_HINT if layer.reason else _UNSIGNED_HINT
    return IntegrityError(f"layer {layer.number}: {reason}", hint=hint)
