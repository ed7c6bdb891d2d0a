"""The documents of an OCI image: manifest, index, and what marks a layout.

Invariant: the same values give the same bytes; an entry of an index that is replaced leaves the others as they stand.

OCI image-spec 1.1, "Image Manifest", "Image Index", "Image Layout", "Annotations"; what containerd and docker write
beside that for an image's whole name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lamina.errors import FormatError, shown
from lamina.names import Digest, Reference

INDEX = "index.json"
LAYOUT = "oci-layout"
LAYOUT_JSON = b'{"imageLayoutVersion": "1.0.0"}'
_IMAGE = "application/vnd.oci.image."
MANIFEST_TYPE = f"{_IMAGE}manifest.v1+json"
INDEX_TYPE = f"{_IMAGE}index.v1+json"
CONFIG_TYPE = f"{_IMAGE}config.v1+json"
LAYER_TYPE = f"{_IMAGE}layer.v1.tar"
FULL_NAME = "io.containerd.image.name"
REF_NAME = "org.opencontainers.image.ref.name"
_HUB, _OFFICIAL = "docker.io", "library"


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A blob as a document refers to it; ``size`` in bytes."""

    media_type: str
    digest: Digest
    size: int

    def dump(self) -> dict[str, Any]:
        """As it stands in JSON."""
        return {"mediaType": self.media_type, "digest": str(self.digest), "size": self.size}


def blob_name(digest: Digest) -> str:
    """Where a blob lies in a layout."""
    return f"blobs/sha256/{digest.hex}"


def manifest_json(config: Descriptor, layers: Sequence[Descriptor]) -> bytes:
    """The manifest of an image; ``layers`` from the lowest up."""
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": config.dump(),
        "layers": [layer.dump() for layer in layers],
    }
    return json.dumps(document, indent=2).encode()


def index_json(before: bytes | None, manifest: Descriptor, reference: Reference, architecture: str) -> bytes:
    """The index ``before``, or a new one, in which ``reference`` is the image of ``manifest``.

    Raises `FormatError` where what there is is no index.
    """
    index = _index(before)
    names = {FULL_NAME: full_name(reference), REF_NAME: reference.tag}
    entry = manifest.dump() | {
        "platform": {"architecture": architecture, "os": "linux"},
        "annotations": names,
    }
    others = [item for item in index["manifests"] if not _is_named(item, names)]
    return json.dumps({**index, "manifests": [*others, entry]}, indent=2).encode()


def full_name(reference: Reference) -> str:
    """The name with the registry that docker and containerd take where none is said: ``docker.io/library/NAME:TAG``."""
    host, slash, _ = reference.repository.partition("/")
    if not slash:
        return f"{_HUB}/{_OFFICIAL}/{reference}"
    return str(reference) if "." in host or ":" in host or host == "localhost" else f"{_HUB}/{reference}"


def familiar_name(reference: Reference) -> Reference:
    """The reference whose `full_name` this is, as docker shows it."""
    repository = reference.repository.removeprefix(f"{_HUB}/")
    if repository != reference.repository:
        repository = repository.removeprefix(f"{_OFFICIAL}/")
    return Reference(repository, reference.tag)


def _index(before: bytes | None) -> dict[str, Any]:
    if before is None:
        return {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": []}
    try:
        index = json.loads(before)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{INDEX}: got {error}, expected JSON, as in an OCI layout") from error
    if not isinstance(index, dict) or not isinstance(index.get("manifests"), list):
        raise FormatError(f"{INDEX}: got {shown(index)}, expected an object with manifests, as in an OCI layout")
    return index


def _is_named(item: object, names: Mapping[str, str]) -> bool:
    annotations = item.get("annotations") if isinstance(item, dict) else None
    if not isinstance(annotations, dict):
        return False
    full = annotations.get(FULL_NAME)
    return bool(full == names[FULL_NAME] if full is not None else annotations.get(REF_NAME) == names[REF_NAME])
