"""An image: what it is to be (`Draft`), what it became (`Image`), and who takes part.

Invariant: a `Draft` can be written any number of times, each time to the same `Image`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable

from lamina.core.names import Digest, Reference, StorePath
from lamina.core.nodes import Node
from lamina.core.pathinfo import PathInfo
from lamina.formats.docker import HistoryItem, ImageConfig, image_json
from lamina.formats.tar import Owner
from lamina.layering.plans import LayerPlan
from lamina.layers.layer import Layer, LayerSource, StoreLayer
from lamina.system.locations import Place

_TAG_LENGTH = 32


class Store(Protocol):
    """Where store paths come from."""

    def query(self, paths: Collection[StorePath]) -> Mapping[StorePath, PathInfo]:
        """What is known of ``paths``; those that are not valid here are left out. Raises `StoreError`."""

    def nodes(self, path: StorePath) -> Iterable[Node]:
        """What ``path`` is made of, in NAR order. Raises `NotFound` before it gives a node, and `StoreError`."""


@runtime_checkable
class Located(Protocol):
    """What a store can tell whose paths lie on this machine."""

    def place(self, path: StorePath) -> Place | None:
        """Where ``path`` lies, None where that is neither as files nor as a NAR. Raises `NotFound`."""


@runtime_checkable
class Arriving(Protocol):
    """What a store can do whose paths have to come from elsewhere first."""

    def expect(self, paths: Iterable[StorePath]) -> None:
        """Has those of ``paths`` come that are not here, in that order, while the caller does something else."""

    def is_here(self, path: StorePath) -> bool:
        """Whether nobody would wait for ``path``."""


@runtime_checkable
class Settling(Protocol):
    """What a store can do that has several to take a path from."""

    def settle(self, infos: Iterable[PathInfo]) -> bool:
        """Have the contents of ``infos`` here wherever another store might have to give them.

        Tell whether something else is known of one of these paths now, so that `Store.query` has new answers.
        """


@runtime_checkable
class Catalogue(Protocol):
    """What a store on this machine can tell beyond what a `Store` must."""

    def find(self, name: str) -> tuple[StorePath, ...]:
        """The paths that ``name`` may mean, ascending."""

    def hashes(self) -> Collection[str]:
        """The hashes of all valid paths."""

    def with_hashes(self, hashes: Collection[str]) -> tuple[StorePath, ...]:
        """The paths that begin with one of ``hashes``."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All of an image that is not in its layers. ``tag`` None is the first 32 hex digits of the image ID."""

    repository: str
    tag: str | None
    config: ImageConfig
    owner: Owner
    mtime: datetime

    @property
    def stamp(self) -> int:
        """``mtime`` as a tar has it, in whole seconds since 1970."""
        return int(self.mtime.timestamp())

    def described(self, history: Sequence[HistoryItem]) -> tuple[bytes, Digest, Reference]:
        """The image's JSON, its digest and its name, given its layers from the lowest up."""
        document = image_json(self.config, history)
        digest = Digest(hashlib.sha256(document).digest())
        return document, digest, Reference(self.repository, self.tag or digest.hex[:_TAG_LENGTH])


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
        owner, mtime = self.settings.owner, self.settings.stamp
        store = self.store
        place = store.place if isinstance(store, Located) else None
        here = store.is_here if isinstance(store, Arriving) else _always
        layers = (StoreLayer(plan, store.nodes, owner, mtime, place, here) for plan in self.plans)
        return (*self.base, *layers, self.root)


def _always(path: StorePath) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Image:
    """An image that was written: the digest of its JSON, its name, its layers from the lowest up."""

    digest: Digest
    reference: Reference
    layers: tuple[Layer, ...]

    @property
    def id(self) -> str:
        """The image ID as ``docker load`` prints it."""
        return str(self.digest)

    @property
    def repo_tag(self) -> str:
        """NAME:TAG."""
        return str(self.reference)


class Sink(Protocol):
    """Where an image goes."""

    def write(self, draft: Draft) -> Image:
        """Writes the image and says what it became."""
