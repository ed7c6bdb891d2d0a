"""The JSON documents of a docker-archive: the image config and ``manifest.json``.

The format is that of the Docker image specification v1.2. The order of keys, the indentation and the comments in the
history are those of nixpkgs' dockerTools, so the bytes are the same as those of its streamer. The SHA-256 of the image
config is the image ID.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from lamina.core.names import Digest, StorePath
from lamina.errors import InvalidArgument

DEFAULT_DATE = datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
"""The date of an image and of the files in its store layers, unless another is chosen (nixpkgs: dockerTools)."""
MANIFEST = "manifest.json"
"""The member of an archive that lists its images."""
_OS = "linux"
_STORE_PATHS = "store paths: "
_QUOTED = re.compile("'([^']*)'")

MAX_LAYERS = 125
"""The most layers of an image that docker can load (moby, layer/layer_store.go, maxLayerDepth).

Docker's other image store, containerd's, has no such limit.
"""
MAX_PODMAN_LAYERS = 128
"""The most layers of an image that podman can run (containers/storage, drivers/overlay, "max depth exceeded")."""


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """The config of an image without its layers.

    Attributes:
        architecture: a GOARCH, optionally followed by ``/VARIANT``.
        created: the date of the image.
        container: the container config, the part that a container runtime reads.
    """

    architecture: str
    created: datetime = DEFAULT_DATE
    container: Mapping[str, Any] | None = None

    @property
    def platform(self) -> str:
        """The platform as ``OS/ARCHITECTURE[/VARIANT]``."""
        return f"{_OS}/{self.architecture}"


@dataclass(frozen=True, slots=True)
class HistoryItem:
    """The diff ID of a layer and its comment in the history of the image."""

    diff_id: Digest
    comment: str


@dataclass(frozen=True, slots=True)
class ManifestEntry:
    """An image in an archive: the names of the members with its config and its layers, and the names of the image."""

    config: str
    repo_tags: tuple[str, ...]
    layers: tuple[str, ...]


def dump_image_config(config: ImageConfig, layers: Sequence[HistoryItem]) -> bytes:
    """Return the image config as JSON; ``layers`` start with the lowest."""
    created = config.created.isoformat()
    architecture, _, variant = config.architecture.partition("/")
    document = {
        "created": created,
        "architecture": architecture,
        **({"variant": variant} if variant else {}),
        "os": _OS,
        "config": config.container,
        "rootfs": {"diff_ids": [str(layer.diff_id) for layer in layers], "type": "layers"},
        "history": [{"created": created, "comment": layer.comment} for layer in layers],
    }
    return json.dumps(document, indent=4).encode()


def dump_docker_manifest(entries: Sequence[ManifestEntry]) -> bytes:
    """Return the ``manifest.json`` of an archive with these images."""
    listed = [
        {"Config": entry.config, "RepoTags": list(entry.repo_tags) or None, "Layers": list(entry.layers)}
        for entry in entries
    ]
    return json.dumps(listed, indent=4).encode()


def store_paths_comment(paths: Sequence[str]) -> str:
    """Return the comment of a layer of store paths, with the list of paths in Python's syntax."""
    return f"{_STORE_PATHS}{list(paths)}"


def parse_store_paths_comment(comment: str) -> tuple[StorePath, ...]:
    """Return the store paths in the comment of a layer, in its order; none for the comment of another layer."""
    if not comment.startswith(_STORE_PATHS):
        return ()
    # The characters of a store path need no escapes in Python's syntax.
    return tuple(dict.fromkeys(filter(None, map(_try_parse_path, _QUOTED.findall(comment)))))


def _try_parse_path(text: str) -> StorePath | None:
    try:
        return StorePath.parse(text)
    except InvalidArgument:
        return None


def list_layer_comments(config: Mapping[str, Any], layer_count: int) -> list[str]:
    """Return the comment on each layer in the history of an image's config.

    The comments are empty if the history is not one of ``layer_count`` layers.
    """
    history = config.get("history")
    items = [item for item in history if isinstance(item, dict)] if isinstance(history, list) else []
    comments = [str(item.get("comment", "")) for item in items if not item.get("empty_layer")]
    return comments if len(comments) == layer_count else [""] * layer_count


def list_layer_paths(config: Mapping[str, Any], layer_count: int) -> list[tuple[StorePath, ...]]:
    """Return the store paths of each layer that the history of an image's config lists; none where it lists none."""
    return [parse_store_paths_comment(comment) for comment in list_layer_comments(config, layer_count)]
