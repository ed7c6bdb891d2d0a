"""A base image under a new one.

Invariant: of its config only ``Env`` comes along unasked, as with nixpkgs' streamer; its layers come as they are,
uncompressed, each with the diff ID that it had.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamina.engine import transfer
from lamina.errors import FormatError, InvalidName, NotFound, shown
from lamina.formats.config import check_type, inherited, with_base_environment
from lamina.formats.docker import store_paths_comment
from lamina.formats.headers import EntryKind
from lamina.layer import FinishedLayer
from lamina.nodes import Symlink
from lamina.root.registration import Registration
from lamina.root.tree import Meta

if TYPE_CHECKING:  # what reads images is imported where there is one
    from lamina.sources.image import SourceImage, SourceLayer
    from lamina.sources.rootfs import Rootfs


@dataclass(frozen=True)
class Base:
    """The base image, or none: then it has no layers and an empty root."""

    image: SourceImage | None = None
    layers: tuple[FinishedLayer, ...] = field(default=())

    @classmethod
    def open(cls, path: Path, architecture: str | None = None) -> Base:
        """The image in the file or layout at ``path``: the first, or of several platforms that of ``architecture``.

        Raises as `open_images` does, and `NotFound` where of several none is of that architecture.
        """
        from lamina.sources.opening import open_images

        image = _chosen(open_images(path), path, architecture)
        return cls(image, tuple(_layer(layer, number) for number, layer in enumerate(image.layers, 1)))

    @property
    def architecture(self) -> str:
        """What the image says it is for, empty where there is none."""
        return self.image.architecture if self.image else ""

    def warnings(self, architecture: str) -> tuple[str, ...]:
        """What is odd about an image of ``architecture`` upon this one."""
        if self.image is None or self.architecture == architecture:
            return ()
        return (f"base image: got architecture {self.architecture}, expected {architecture}, that of the image",)

    @cached_property
    def registrations(self) -> tuple[tuple[Registration, ...], tuple[str, ...]]:
        """What its Nix database has, and what was odd about that. Raises `FormatError`."""
        from lamina.root import database
        from lamina.workspace import Workspace

        with Workspace() as workspace:
            file = workspace.path / "db.sqlite"
            if not self._copy(database.PLACE, file):
                return (), ()
            try:
                if self._copy(database.PLACE + database.LOG, file.with_name(file.name + database.LOG.decode())):
                    database.settle(file)
                return database.read(file)
            except FormatError as error:
                text = str(error).removeprefix(f"{file}: ")
                raise FormatError(f"base image: /{database.PLACE.decode()}: {text}", hint=error.hint) from error

    def _copy(self, path: bytes, place: Path) -> bool:
        """Whether there is a file at ``path``; then it is at ``place`` too."""
        entry = self.root.entry(self.root.resolve(path))
        if entry is None or entry.kind is not EntryKind.FILE:
            return False
        with place.open("wb") as file:
            transfer([entry.content], file.write)
        return True

    def resolve(self, path: bytes) -> bytes:
        """Where ``path`` leads in its root, symlinks followed; what is not there stands as it is."""
        return self.root.resolve(path)

    def folder(self, path: bytes) -> Meta | None:
        """Mode and owner of the folder that is at ``path`` itself, None where there is none."""
        entry = self.root.entry(path)
        if entry is None or entry.kind is not EntryKind.DIRECTORY:
            return None
        return Meta(entry.header.mode, entry.header.uid, entry.header.gid)

    def link(self, path: bytes) -> Symlink | None:
        """The symlink that is at ``path`` itself, None where there is none."""
        entry = self.root.entry(path)
        return Symlink(path, entry.header.target) if entry and entry.kind is EntryKind.SYMLINK else None

    def exists(self, path: bytes) -> bool:
        """Whether there is anything at ``path`` itself."""
        return self.root.entry(path) is not None

    @cached_property
    def root(self) -> Rootfs:
        """The file system that its layers make. Raises `FormatError`."""
        from lamina.sources.rootfs import flatten

        try:
            return flatten(self.image.layers if self.image else ())
        except FormatError as error:
            raise FormatError(f"base image: {error}", hint=error.hint) from error

    def overlaid(self, config: Mapping[str, Any] | None, keys: Collection[str] = ()) -> Mapping[str, Any] | None:
        """``config`` over the base's: its ``Env`` and those of ``keys`` come along. Raises `FormatError`."""
        if self.image is None:
            return config
        base = self._config(self.image, ("Env", *keys))
        return with_base_environment(inherited(config or {}, base, keys), base)

    @staticmethod
    def _config(image: SourceImage, keys: Collection[str]) -> Mapping[str, Any]:
        """Its container config, in which ``keys`` are what they should be."""
        found = image.config.get("config")
        if found is None:
            return {}
        if not isinstance(found, Mapping):
            raise FormatError(f"base image: config: got {shown(found)}, expected an object")
        try:
            for key in keys:
                check_type(key, found.get(key))
        except InvalidName as error:
            raise FormatError(f"base image: {error}") from error
        return found


def _chosen(images: tuple[SourceImage, ...], path: Path, architecture: str | None) -> SourceImage:
    """nixpkgs takes the first; where an index offers several platforms, that would be chance."""
    platforms = list(dict.fromkeys(image.architecture for image in images))
    if len(platforms) == 1:
        return images[0]
    fitting = [image for image in images if image.architecture == architecture]
    if not fitting:
        expected = f"one for {architecture}" if architecture else "to be told which"
        raise NotFound(
            f"{path}: got images for {', '.join(platforms)}, expected {expected}", hint="say which with --architecture"
        )
    return fitting[0]


def _layer(layer: SourceLayer, number: int) -> FinishedLayer:
    said = f"Adding base layer {number} from {layer.name}"
    return FinishedLayer(layer.tar, said, store_paths_comment([layer.name]), layer.diff_id, keep=layer.keep)
