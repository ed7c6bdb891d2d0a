"""Indexes of images for several platforms, in layouts."""

import gzip
import json
from collections.abc import Sequence
from typing import Any

from tests.support.image_files import OCI, LayoutBuilder, layer, platform

INDEX_TYPE = f"{OCI}index.v1+json"
NAME = "io.containerd.image.name"


def pack(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def add_platform(layout: LayoutBuilder, name: str, *, is_compressed: bool = True, **more: Any) -> dict[str, Any]:
    """Add an image for a platform such as ``arm64``, with a layer that all have and one of its own."""
    kind: dict[str, Any] = {"compress": pack, "ending": "+gzip"} if is_compressed else {}
    described = {"platform": platform(name), **more}
    return layout.image([layer("etc/shared"), layer(f"etc/{name}")], config_more=platform(name), **kind, **described)


def add_attestation(layout: LayoutBuilder, image: dict[str, Any]) -> dict[str, Any]:
    """Add an attestation of an image, as BuildKit writes them."""
    statement = layout.blob(json.dumps({"subject": image["digest"]}).encode(), "application/vnd.in-toto+json")
    text = {
        "schemaVersion": 2,
        "config": layout.blob(b'{"architecture": "unknown", "os": "unknown"}', f"{OCI}config.v1+json"),
        "layers": [statement],
    }
    annotations = {
        "vnd.docker.reference.type": "attestation-manifest",
        "vnd.docker.reference.digest": image["digest"],
    }
    return layout.manifest(text, platform=platform("unknown", "unknown"), annotations=annotations)


def add_index(layout: LayoutBuilder, manifests: Sequence[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """Add an index that has an annotation and states its media type."""
    text = {
        "schemaVersion": 2,
        "mediaType": INDEX_TYPE,
        "manifests": list(manifests),
        "annotations": {"org.example.team": "web"},
    }
    return layout.blob(json.dumps(text).encode(), INDEX_TYPE, **more)


def add_whole_index(layout: LayoutBuilder, *, is_compressed: bool = True, **more: Any) -> dict[str, Any]:
    """Add an index of amd64 and arm64 with an attestation of the first."""
    images = [add_platform(layout, name, is_compressed=is_compressed) for name in ("amd64", "arm64")]
    return add_index(layout, [*images, add_attestation(layout, images[0])], **more)
