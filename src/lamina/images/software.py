"""Bills of materials of a closure and of an image that exists.

A closure is known completely. An image only says which store paths are in its layers; hashes, references and signatures
come from a store that the caller names, and are what that store says of the paths.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from typing import Literal

from lamina.core.closure import Closure
from lamina.core.names import StorePath, split_reference
from lamina.core.pathinfo import PathInfo
from lamina.formats.bill_of_materials import BillOfMaterials, SoftwareComponent, SoftwareSubject
from lamina.formats.narinfo import NarInfo
from lamina.images.readers.source_image import InspectedImage
from lamina.stores.store import Store

SbomFormat = Literal["cyclonedx", "spdx"]


@dataclass(frozen=True, slots=True, repr=False)
class SbomResult:
    """A software bill of materials as a document.

    Attributes:
        document: the document, JSON in UTF-8.
        media_type: its media type, such as ``application/vnd.cyclonedx+json``.
        components: the store paths that it lists, sorted.
        warnings: what the user should know about it.
    """

    document: bytes
    media_type: str
    components: tuple[StorePath, ...]
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<SbomResult: {self.media_type}, {len(self.components)} components>"


def dump_bill(bill: BillOfMaterials, kind: SbomFormat, warnings: Iterable[str] = ()) -> SbomResult:
    """Return the document of ``bill`` in a format, with its media type."""
    # Only the module of the format is imported: the library for CycloneDX takes half a second.
    written = import_module(f"lamina.formats.{kind}")
    paths = tuple(component.path for component in bill.components)
    return SbomResult(written.dump(bill), written.MEDIA_TYPE, paths, tuple(warnings))


def describe_closure(
    closure: Closure, roots: Collection[StorePath], store: Store, created: datetime
) -> BillOfMaterials:
    """Return what is inside ``closure``, the closure of ``roots``; ``store`` knows its narinfos."""
    components = tuple(_describe_paths({info.path: info for info in closure}, store))
    return BillOfMaterials(_name_closure(components, roots), created, components, tuple(sorted(set(roots))))


def _name_closure(components: Iterable[SoftwareComponent], roots: Collection[StorePath]) -> SoftwareSubject:
    packages = [component.package for component in components if component.path in roots]
    if len(packages) == 1:
        return SoftwareSubject("closure", packages[0].name, packages[0].version)
    return SoftwareSubject("closure", ", ".join(dict.fromkeys(package.name for package in packages)), "")


def describe_image(image: InspectedImage, store: Store | None, created: datetime) -> tuple[BillOfMaterials, list[str]]:
    """Return what is inside ``image``, and warnings about what is not known of it.

    Args:
        image: the image.
        store: knows the hashes and references of its store paths; None for a document without them.
        created: the date of the document.
    """
    layers = [layer.paths for layer in image.layers]
    bill = describe_layers(layers, _name_image(image), store, created)
    return bill, [*warn_about_layers(layers), *warn_about_paths(bill, has_store=store is not None)]


def describe_layers(
    layers: Iterable[Collection[StorePath]], subject: SoftwareSubject, store: Store | None, created: datetime
) -> BillOfMaterials:
    """Return what is inside an image.

    Args:
        layers: the store paths of each layer.
        subject: the image.
        store: knows the hashes and references of the store paths; None for a document without them.
        created: the date of the document.
    """
    paths = sorted({path for layer in layers for path in layer})
    infos = store.query(paths) if store else {}
    known = {component.path: component for component in (_describe_paths(infos, store) if store else ())}
    components = tuple(known.get(path) or SoftwareComponent(path, None) for path in paths)
    referenced = {reference for component in components for reference in component.references}
    roots = tuple(path for path in paths if path not in referenced)
    return BillOfMaterials(subject, created, components, roots)


def _name_image(image: InspectedImage) -> SoftwareSubject:
    name, tag = split_reference(image.repo_tags[0]) if image.repo_tags else ("image", next(iter(image.tags), None))
    return SoftwareSubject("image", name, tag or "", image.id)


def _describe_paths(infos: Mapping[StorePath, PathInfo], store: Store) -> Iterator[SoftwareComponent]:
    for path in sorted(infos):
        known = store.narinfo(path)
        # A store can have narinfos from elsewhere than path infos: a closure graph has none of its own.
        details = known if known and known.info == infos[path] else NarInfo(infos[path], "", "none", ())
        yield SoftwareComponent(path, details)


def warn_about_layers(layers: Sequence[Collection[StorePath]]) -> Iterator[str]:
    """Warn about layers without store paths, except the last one, which is the customisation layer in most images."""
    count = sum(not paths for paths in layers[:-1])
    if count:
        yield f"{count} of {len(layers)} layers have no store paths; the document does not list what is in them"


def warn_about_paths(bill: BillOfMaterials, *, has_store: bool) -> Iterator[str]:
    """Warn about what is not known of the store paths of an image, and that they were not compared with it."""
    if not has_store:
        yield "the document has no hashes and no dependencies: an image holds neither, and no store was named"
        return
    count = len(bill.components)
    known = sum(component.narinfo is not None for component in bill.components)
    if known < count:
        yield f"{count - known} of {count} store paths are in no store, so their hashes and references are left out"
    if known:
        yield "the hashes are those of the stores; they were not compared with the layers of the image"
