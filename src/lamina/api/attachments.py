"""The documents that a push attaches to an image."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from lamina.api.sbom import find_created
from lamina.builder.provenance import make_statement
from lamina.formats import provenance as provenance_format
from lamina.formats.annotations import CREATED
from lamina.formats.bill_of_materials import BillOfMaterials, SoftwareSubject
from lamina.formats.referrers import AttachedDocument
from lamina.images.attachments import DescribeImage, PushedImage, describe_nothing
from lamina.images.image import Draft
from lamina.images.readers.source_image import InspectedImage
from lamina.images.software import SbomFormat, describe_layers, dump_bill, warn_about_layers, warn_about_paths
from lamina.inputs.spec import Spec
from lamina.stores.store import Store

_SBOM_FILES: Mapping[SbomFormat, str] = {"cyclonedx": "sbom.cdx.json", "spdx": "sbom.spdx.json"}
_PREDICATE = "in-toto.io/predicate-type"
"""The annotation in which programs for attestations look for the kind of a statement."""


def describe_draft(
    draft: Draft, spec: Spec, sbom: SbomFormat | None, warn: Callable[[str], object], *, provenance: bool = False
) -> DescribeImage:
    """Return a function that returns the documents about an image that is made of store paths.

    Args:
        draft: the image; its store must be open when the function is called.
        spec: the arguments of the image.
        sbom: the format of the software bill of materials; None for none.
        warn: is called with the text of each warning.
        provenance: whether to attach the provenance of the image.

    """
    created, base = draft.settings.config.created, draft.inputs.base_image
    lowest = [layer.paths for layer in base.layers] if base else []

    def describe(image: PushedImage) -> Iterator[AttachedDocument]:
        if sbom is not None:
            layers = [*lowest, *(layer.paths for layer in image.layers[len(lowest) :])]
            bill = describe_layers(layers, _name_pushed(image), draft.store, created)
            yield _attach_bill(bill, sbom, warn_about_layers(layers), warn)
        if provenance:
            yield _attach_statement(make_statement(spec, draft, image), created)

    return lambda image: tuple(describe(image))


def describe_existing(
    source: InspectedImage, sbom: SbomFormat | None, store: Store | None, warn: Callable[[str], object]
) -> DescribeImage:
    """Return a function that returns the documents about an image that exists.

    Args:
        source: the image.
        sbom: the format of the software bill of materials; None for none.
        store: knows the hashes and references of the image's store paths; None for a document without them.
        warn: is called with the text of each warning.

    """
    if sbom is None:
        return describe_nothing
    layers = [layer.paths for layer in source.layers]

    def describe(image: PushedImage) -> Sequence[AttachedDocument]:
        bill = describe_layers(layers, _name_pushed(image), store, find_created(source))
        warnings = (*warn_about_layers(layers), *warn_about_paths(bill, has_store=store is not None))
        return (_attach_bill(bill, sbom, warnings, warn),)

    return describe


def _name_pushed(image: PushedImage) -> SoftwareSubject:
    """Return the subject of a document: its version is the digest of the manifest, because tags move."""
    return SoftwareSubject("image", image.names[0], str(image.manifest.digest), str(image.digest))


def _attach_statement(statement: bytes, created: datetime) -> AttachedDocument:
    annotations = ((CREATED, created.isoformat()), (_PREDICATE, provenance_format.PREDICATE_TYPE))
    return AttachedDocument(
        "provenance", provenance_format.MEDIA_TYPE, statement, "provenance.intoto.json", annotations
    )


def _attach_bill(
    bill: BillOfMaterials, kind: SbomFormat, warnings: Iterable[str], warn: Callable[[str], object]
) -> AttachedDocument:
    for warning in warnings:
        warn(f"sbom: {warning}")
    result = dump_bill(bill, kind)
    annotations = ((CREATED, bill.created.isoformat()),)
    return AttachedDocument("sbom", result.media_type, result.document, _SBOM_FILES[kind], annotations)
