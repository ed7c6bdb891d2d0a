"""The model of a software bill of materials (SBOM): what is inside an image or a closure.

`lamina.formats.cyclonedx` and `lamina.formats.spdx` write it. Everything in a document follows from the model, also its
serial number, so that the same model always gives the same bytes.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Literal

from lamina.core.names import DERIVATION, StorePath
from lamina.core.package_names import PackageName
from lamina.formats.narinfo import NarInfo
from lamina.version import __version__

TOOL = "lamina"


@dataclass(frozen=True, slots=True)
class SoftwareComponent:
    """A store path.

    Attributes:
        path: the store path.
        narinfo: what a store says about it; None if no store was asked, or none has it.
    """

    path: StorePath
    narinfo: NarInfo | None

    @property
    def package(self) -> PackageName:
        """The package, the version and the output."""
        deriver = self.narinfo.deriver if self.narinfo else ""
        derivation = StorePath.parse_base(deriver).name.removesuffix(DERIVATION) if deriver else ""
        return PackageName.parse(self.path, derivation)

    @property
    def references(self) -> frozenset[StorePath]:
        """The other paths that it refers to, as far as they are known."""
        return self.narinfo.info.references - {self.path} if self.narinfo else frozenset()


@dataclass(frozen=True, slots=True)
class SoftwareSubject:
    """The subject of a bill of materials: an image or a closure.

    Attributes:
        kind: an image, or store paths with their closure.
        name: the image's name, or the names of the packages.
        version: the image's tag, or the version of the only package; empty if there is none.
        image_id: the image ID; empty for store paths.
    """

    kind: Literal["image", "closure"]
    name: str
    version: str
    image_id: str = ""


# Not slotted: a cached property needs the dictionary of its object.
@dataclass(frozen=True)
class BillOfMaterials:
    """The components of an image or a closure.

    Attributes:
        subject: the image or closure.
        created: the date of the document, in UTC.
        components: the store paths, sorted.
        roots: the paths that the subject needs itself; the others are there because these refer to them.
    """

    subject: SoftwareSubject
    created: datetime
    components: tuple[SoftwareComponent, ...]
    roots: tuple[StorePath, ...]

    @property
    def timestamp(self) -> str:
        """The date in the form of both formats, ISO 8601 with a Z."""
        return f"{self.created:%Y-%m-%dT%H:%M:%SZ}"

    @cached_property
    def dependencies(self) -> Mapping[StorePath, tuple[StorePath, ...]]:
        """For each component, the other components that it refers to, sorted."""
        known = {component.path for component in self.components}
        return {component.path: tuple(sorted(component.references & known)) for component in self.components}

    @property
    def serial_number(self) -> uuid.UUID:
        """A UUID of version 5 that follows from everything in the model, and from lamina's version."""
        digest = hashlib.sha256("\n".join(self._describe()).encode()).hexdigest()
        return uuid.uuid5(uuid.NAMESPACE_OID, digest)

    def _describe(self) -> Iterator[str]:
        subject = self.subject
        yield from (__version__, subject.kind, subject.name, subject.version, subject.image_id, self.timestamp)
        yield " ".join(map(str, self.roots))
        for component in self.components:
            yield str(component.path)
            if narinfo := component.narinfo:
                yield from (narinfo.fingerprint, narinfo.deriver, *narinfo.signatures, narinfo.address)
