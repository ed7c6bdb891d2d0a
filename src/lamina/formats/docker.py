"""The documents of a docker-archive: the image's JSON and ``manifest.json``.

Invariant: the same values give the same bytes, those of nixpkgs' streamer; their SHA-256 is the image ID.

Docker image specification v1.2; key order, indent and history comments are those of nixpkgs' dockerTools.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lamina.core.names import Digest


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """What an image says of itself, layers apart; ``container`` is the part that a container runtime reads.

    ``architecture`` is a GOARCH, with ``/VARIANT`` behind it if one is said.
    """

    architecture: str
    created: datetime
    container: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class HistoryItem:
    """A layer's diff ID and the comment that stands beside it in the image's history."""

    diff_id: Digest
    comment: str


@dataclass(frozen=True, slots=True)
class ManifestEntry:
    """An image in an archive: the names of the members that hold its config and layers, and its own, if any."""

    config: str
    repo_tags: tuple[str, ...]
    layers: tuple[str, ...]


def dump_image_config(config: ImageConfig, layers: Sequence[HistoryItem]) -> bytes:
    """The image's JSON; ``layers`` from the lowest up."""
    created = config.created.isoformat()
    architecture, _, variant = config.architecture.partition("/")
    document = {
        "created": created,
        "architecture": architecture,
        **({"variant": variant} if variant else {}),
        "os": "linux",
        "config": config.container,
        "rootfs": {"diff_ids": [str(layer.diff_id) for layer in layers], "type": "layers"},
        "history": [{"created": created, "comment": layer.comment} for layer in layers],
    }
    return json.dumps(document, indent=4).encode()


def dump_docker_manifest(entries: Sequence[ManifestEntry]) -> bytes:
    """``manifest.json`` of an archive that holds these images."""
    listed = [
        {"Config": entry.config, "RepoTags": list(entry.repo_tags) or None, "Layers": list(entry.layers)}
        for entry in entries
    ]
    return json.dumps(listed, indent=4).encode()


def store_paths_comment(paths: Sequence[str]) -> str:
    """The history comment of a layer of store paths: the list as Python writes one."""
    return f"store paths: {list(paths)}"
