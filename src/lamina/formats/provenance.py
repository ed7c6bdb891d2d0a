"""The provenance of an image: an in-toto Statement v1 whose predicate is SLSA Provenance v1.

The formats are specified in in-toto/attestation, "spec/v1/statement.md" and "spec/v1/resource_descriptor.md", and in
https://slsa.dev/spec/v1.0/provenance. The build type, and what its parameters mean, is described in docs/provenance.md.
The document has no date and is not signed, so the same input gives the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from packageurl import PackageURL

from lamina.core.names import Digest
from lamina.formats.bill_of_materials import TOOL, SoftwareComponent
from lamina.formats.narinfo import NarInfo
from lamina.formats.package_urls import make_package_url
from lamina.formats.registry_references import RegistryReference
from lamina.version import __version__

MEDIA_TYPE = "application/vnd.in-toto+json"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = f"urn:{TOOL}:image:1"
"""The meaning of the parameters and materials. It changes if a parameter gets another meaning."""
_STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
_NAR_TYPE = "application/x-nix-nar"
_INDENT = 2


@dataclass(frozen=True, slots=True)
class SignedMaterial:
    """A store path that is in an image.

    Attributes:
        narinfo: what a store says about it.
        signed_by: the names of the trusted keys whose signature of the narinfo was checked and is right.
    """

    narinfo: NarInfo
    signed_by: tuple[str, ...]

    def dump(self) -> dict[str, Any]:
        """Return it as a resource descriptor. Its digest is that of its NAR, as the media type says."""
        info = self.narinfo.info
        named = {text.partition(":")[0] for text in self.narinfo.signatures}
        annotations: dict[str, Any] = {"narSize": info.nar_size, "signedBy": sorted(self.signed_by)}
        if unverified := sorted(named.difference(self.signed_by)):
            annotations["unverifiedKeys"] = unverified
        if self.narinfo.address:
            annotations["contentAddress"] = self.narinfo.address
        return {
            "name": str(info.path),
            "uri": make_package_url(SoftwareComponent(info.path, self.narinfo)).to_string(),
            "digest": _dump_digest(info.nar_hash),
            "mediaType": _NAR_TYPE,
            "annotations": annotations,
        }


@dataclass(frozen=True, slots=True)
class BaseMaterial:
    """The base image of an image.

    Attributes:
        name: its name; empty if it has none.
        digest: the digest of its manifest; of its config if a file has no manifest with a digest.
        media_type: the media type of the document with that digest.
        reference: where it is, if it is in a registry.
    """

    name: str
    digest: Digest
    media_type: str
    reference: RegistryReference | None = None

    def dump(self) -> dict[str, Any]:
        """Return it as a resource descriptor."""
        return {
            **({"name": self.name} if self.name else {}),
            **({"uri": _make_image_url(self.reference, self.digest)} if self.reference else {}),
            "digest": _dump_digest(self.digest),
            "mediaType": self.media_type,
        }


def dump_statement(
    names: Sequence[str],
    digest: Digest,
    parameters: Mapping[str, Any],
    materials: Sequence[SignedMaterial | BaseMaterial],
) -> bytes:
    """Return the statement that an image was built from ``materials``.

    Args:
        names: where the image is, as ``HOST/NAME``.
        digest: the digest of its manifest.
        parameters: what the user asked for, as JSON.
        materials: what is in the image, in the order in which it is to be listed.

    """
    statement = {
        "_type": _STATEMENT_TYPE,
        "subject": [{"name": name, "digest": _dump_digest(digest)} for name in names],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": dict(parameters),
                "resolvedDependencies": [material.dump() for material in materials],
            },
            "runDetails": {
                "builder": {
                    "id": PackageURL("generic", None, TOOL, __version__).to_string(),
                    "version": {TOOL: __version__},
                },
            },
        },
    }
    return f"{json.dumps(statement, indent=_INDENT)}\n".encode()


def _dump_digest(digest: Digest) -> dict[str, str]:
    return {"sha256": digest.hex}


def _make_image_url(reference: RegistryReference, digest: Digest) -> str:
    """Return the package URL of an image (package-url/purl-spec, types/oci-definition.json)."""
    qualifiers = {"repository_url": reference.name, **({"tag": reference.tag} if reference.tag else {})}
    return PackageURL("oci", None, reference.name.rpartition("/")[2], str(digest), qualifiers).to_string()
