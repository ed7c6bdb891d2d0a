"""Bills of materials as CycloneDX 1.6 JSON (https://cyclonedx.org/docs/1.6/json/).

Each store path is a component, with properties of the taxonomy for Nix (nixpkgs, doc/interoperability/cyclonedx.md).
Its properties ``nix:narinfo:url``, ``compression``, ``file_hash`` and ``file_size`` are left out: they describe the
compressed file of one cache, so the document would depend on where a store path comes from.

The hash of a component is the SHA-256 of its NAR, its serialization by Nix. It is what ``nix-store --dump PATH |
sha256sum`` prints, and not the hash of a file that somebody could download. CycloneDX does not say what is hashed.
"""

from __future__ import annotations

from collections.abc import Iterator

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.bom_ref import BomRef
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.dependency import Dependency
from cyclonedx.model.tool import ToolRepository
from cyclonedx.output.json import JsonV1Dot6

from lamina.core.names import STORE_DIR, StorePath
from lamina.formats.bill_of_materials import TOOL, BillOfMaterials, SoftwareComponent, SoftwareSubject
from lamina.formats.narinfo import NarInfo
from lamina.formats.package_urls import make_package_url
from lamina.version import __version__

MEDIA_TYPE = "application/vnd.cyclonedx+json"
_SUBJECT_TYPES = {"image": ComponentType.CONTAINER, "closure": ComponentType.APPLICATION}
# The reference to the subject inside the document. No store path has this form.
_SUBJECT_REFERENCE = "subject"
_INDENT = 2


def dump(bill: BillOfMaterials) -> bytes:
    """Return the document of ``bill``."""
    document = Bom(
        serial_number=bill.serial_number,
        metadata=BomMetaData(
            timestamp=bill.created,
            tools=ToolRepository(components=[_make_tool()]),
            component=_make_subject(bill.subject),
        ),
        components=map(_make_component, bill.components),
        dependencies=_list_dependencies(bill),
    )
    return f"{JsonV1Dot6(document).output_as_string(indent=_INDENT)}\n".encode()


def _make_tool() -> Component:
    return Component(type=ComponentType.APPLICATION, name=TOOL, version=__version__)


def _make_subject(subject: SoftwareSubject) -> Component:
    properties = [Property(name="lamina:image_id", value=subject.image_id)] if subject.image_id else []
    return Component(
        type=_SUBJECT_TYPES[subject.kind],
        bom_ref=_SUBJECT_REFERENCE,
        name=subject.name,
        version=subject.version or None,
        properties=properties,
    )


def _make_component(component: SoftwareComponent) -> Component:
    narinfo, package = component.narinfo, component.package
    hashes = [HashType(alg=HashAlgorithm.SHA_256, content=narinfo.info.nar_hash.hex)] if narinfo else []
    return Component(
        # A store path can be a program, a library or any other files; most scanners only look at libraries.
        type=ComponentType.LIBRARY,
        bom_ref=str(component.path),
        name=package.name,
        version=package.version or None,
        purl=make_package_url(component),
        hashes=hashes,
        properties=[Property(name=name, value=value) for name, value in _list_properties(component)],
    )


def _list_properties(component: SoftwareComponent) -> Iterator[tuple[str, str]]:
    yield "nix:store_path", str(component.path)
    if component.narinfo:
        for name, value in _list_narinfo_properties(component.narinfo):
            yield f"nix:narinfo:{name}", value


def _list_narinfo_properties(narinfo: NarInfo) -> Iterator[tuple[str, str]]:
    info = narinfo.info
    yield "store_path", str(info.path)
    yield "nar_hash", info.nar_hash.nix32
    yield "nar_size", str(info.nar_size)
    yield "references", " ".join(map(str, sorted(info.references)))
    if narinfo.deriver:
        yield "deriver", f"{STORE_DIR}/{narinfo.deriver}"
    for signature in narinfo.signatures:
        yield "sig", signature
    if narinfo.address:
        yield "ca", narinfo.address


def _list_dependencies(bill: BillOfMaterials) -> Iterator[Dependency]:
    yield _make_dependency(_SUBJECT_REFERENCE, bill.roots)
    for path, references in bill.dependencies.items():
        yield _make_dependency(str(path), references)


def _make_dependency(reference: str, paths: tuple[StorePath, ...]) -> Dependency:
    return Dependency(BomRef(reference), [Dependency(BomRef(str(path))) for path in paths])
