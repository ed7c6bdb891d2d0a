"""Images that were made elsewhere, as they are read.

Invariant: there is none whose bytes were not checked: config, blobs and the tars in them are what their digests say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lamina.names import Digest, StorePath
from lamina.nodes import Extent


@dataclass(frozen=True, slots=True)
class SourceLayer:
    """A layer: the name that its image calls it by, the digest and length of the blob that lies there, maybe
    compressed, and the tar in it, which lies uncompressed at ``tar`` for as long as ``keep`` is there.

    ``paths`` are the store paths that the tar has members of.
    """

    name: str
    diff_id: Digest
    digest: Digest
    size: int
    blob: Extent
    tar: Extent
    paths: tuple[StorePath, ...]
    keep: object = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class SourceImage:
    """An image: its ID, its names, its config as bytes and as what they say, its layers from the lowest up."""

    digest: Digest
    repo_tags: tuple[str, ...]
    config_json: bytes = field(repr=False)
    config: Mapping[str, Any] = field(repr=False, compare=False)
    layers: tuple[SourceLayer, ...]

    @property
    def id(self) -> str:
        """The image ID as engines print it."""
        return str(self.digest)

    @property
    def architecture(self) -> str:
        """The processor it is for, in Go's words; empty where it does not say."""
        return _text(self.config.get("architecture"))

    @property
    def platform(self) -> str:
        """OS/ARCHITECTURE, and /VARIANT where it says one."""
        parts = (_text(self.config.get(key)) for key in ("os", "architecture", "variant"))
        return "/".join(filter(None, parts))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
