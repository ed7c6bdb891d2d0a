"""An image: what it is to be (`Draft`), what it became (`Image`), and who takes part.

Invariant: a `Draft` can be written any number of times, each time to the same `Image`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from lamina.core.names import Digest, ImageReference, StorePath
from lamina.formats.docker import HistoryItem, ImageConfig, dump_image_config
from lamina.formats.tar import Owner
from lamina.layering.plans import LayerPlan
from lamina.layers.layer import Layer, LayerSource, StoreLayer
from lamina.stores.protocols import CanPrefetch, HasLocation, Store

_TAG_LENGTH = 32


@dataclass(frozen=True, slots=True)
class Settings:
    """All of an image that is not in its layers. ``tag`` None is the first 32 hex digits of the image ID."""

    repository: str
    tag: str | None
    config: ImageConfig
    owner: Owner
    mtime: datetime

    @property
    def mtime_seconds(self) -> int:
        """``mtime`` as a tar has it, in whole seconds since 1970."""
        return int(self.mtime.timestamp())

    def dump_config(self, history: Sequence[HistoryItem]) -> tuple[bytes, Digest, ImageReference]:
        """The image's JSON, its digest and its name, given its layers from the lowest up."""
        document = dump_image_config(self.config, history)
        digest = Digest(hashlib.sha256(document).digest())
        return document, digest, ImageReference(self.repository, self.tag or digest.hex[:_TAG_LENGTH])


@dataclass(frozen=True, slots=True)
class Draft:
    """An image whose digests nobody needs to know yet."""

    plans: tuple[LayerPlan, ...]
    store: Store
    root: LayerSource
    settings: Settings
    base: tuple[LayerSource, ...] = ()

    @property
    def layers(self) -> tuple[LayerSource, ...]:
        """The layers from the lowest up: the base image's, those of store paths, the customisation layer."""
        owner, mtime = self.settings.owner, self.settings.mtime_seconds
        store = self.store
        location = store.location if isinstance(store, HasLocation) else None
        is_local = store.is_local if isinstance(store, CanPrefetch) else _always
        layers = (StoreLayer(plan, store.nodes, owner, mtime, location, is_local) for plan in self.plans)
        return (*self.base, *layers, self.root)


def _always(path: StorePath) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Image:
    """An image that was written: the digest of its JSON, its name, its layers from the lowest up."""

    digest: Digest
    reference: ImageReference
    layers: tuple[Layer, ...]

    @property
    def id(self) -> str:
        """The image ID as ``docker load`` prints it."""
        return str(self.digest)

    @property
    def repo_tag(self) -> str:
        """NAME:TAG."""
        return str(self.reference)


class ImageWriter(Protocol):
    """Where an image goes."""

    def write(self, draft: Draft) -> Image:
        """Writes the image and says what it became."""
