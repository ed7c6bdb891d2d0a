"""The base image of a new image.

By default, a new image takes over only ``Env`` of the base image's config, as in nixpkgs' streamer. The layers are
taken over unchanged and uncompressed, each with its diff ID. Layers for another platform than the image's are refused.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamina.core.callbacks import ignore
from lamina.core.nodes import Symlink
from lamina.core.progress import Progress
from lamina.errors import FormatError, InvalidArgument, PlanError, error_context
from lamina.formats.annotations import BASE_DIGEST, BASE_NAME
from lamina.formats.container_config import check_type, inherit, merge_environment
from lamina.formats.docker import store_paths_comment
from lamina.formats.platform import Platform
from lamina.formats.registry_references import RegistryReference
from lamina.formats.tar_reader import EntryKind
from lamina.layers.layer import FinishedLayer, LayerSource
from lamina.messages.redaction import cut, short_repr
from lamina.rootfs.accounts import BaseFile
from lamina.rootfs.registration import Registration
from lamina.rootfs.tree import Meta
from lamina.system.transfer import transfer

if TYPE_CHECKING:  # the readers are imported only if there is a base image
    from lamina.images.blob_cache import BlobCache
    from lamina.images.readers.flatten import Rootfs
    from lamina.images.readers.source_image import InspectedImage, SourceLayer

ARCHITECTURE_HINT = "say which with --architecture"
MISMATCH_HINT = "take a base image for that architecture, or name another architecture with --architecture"


@dataclass(frozen=True, slots=True)
class RegistryAccess:
    """How base images in registries are read.

    Attributes:
        insecure: whether plain HTTP is allowed if a registry does not speak TLS.
        blob_cache: what keeps their layers; None to keep none.
        max_unpacked: the maximum number of bytes that an image may unpack to; None for the default.
    """

    insecure: bool = False
    blob_cache: BlobCache | None = None
    max_unpacked: int | None = None


@dataclass(frozen=True)
class BaseImage:
    """A base image, or a placeholder for none, which has no layers and an empty root.

    ``notes`` are warnings about the choice of the image. ``read_layers`` returns the layers with their tars; if
    ``is_remote``, they are fetched from a registry then.
    """

    image: InspectedImage | None = None
    layers: tuple[LayerSource, ...] = field(default=())
    notes: tuple[str, ...] = field(default=())
    read_layers: Callable[[Progress | None], Sequence[SourceLayer]] = field(default=lambda _: (), repr=False)
    is_remote: bool = False

    @classmethod
    def open(
        cls,
        file: str | os.PathLike[str],
        architecture: str | None = None,
        *,
        default_architecture: Callable[[], str | None] = ignore,
        access: RegistryAccess | None = None,
        is_strict: bool = True,
    ) -> BaseImage:
        """Open the image in a file, a layout or a registry.

        Args:
            file: ``FILE`` or ``FILE#NAME``; without a name, the first image is used, as in nixpkgs. Or a reference.
            architecture: selects one of several platforms.
            default_architecture: returns the architecture if ``architecture`` is None and there are several platforms.
            access: how an image in a registry is read, and how many bytes an image may unpack to.
            is_strict: whether a mismatch of the only image with ``architecture`` is an error rather than a note.

        Raises:
            NotFound: no image has the name.
            PlanError: no image is for the architecture, or none was named and there are several platforms.
            Error: any error of `open_images` and `open_registry_base`.

        """
        from lamina.images.readers import select
        from lamina.images.readers.open import open_named_images

        source, access = select.parse_source(file), access or RegistryAccess()
        if isinstance(source, RegistryReference):
            from lamina.builder.registry_base import open_registry_base

            found, parts, contents = open_registry_base(source, access, architecture, default_architecture)
            return cls(found, parts, (), contents.read, is_remote=True)
        path, candidates = source.path, open_named_images(source, access.max_unpacked)
        has_several_platforms = len({image.effective_platform for image in candidates}) > 1
        platform = architecture or (default_architecture() if has_several_platforms else None)
        notes: tuple[str, ...] = ()
        if platform and not has_several_platforms and not is_strict:
            mismatch = _find_platform_mismatch(candidates[0], platform)
            notes = (str(mismatch),) if mismatch else ()
        elif platform:
            candidates = select.select_by_platform(candidates, Platform.parse(platform), path, MISMATCH_HINT)
        elif has_several_platforms:
            got = select.list_platforms(candidates)
            raise PlanError(path, f"images for {got}", "to be told which", hint=ARCHITECTURE_HINT)
        chosen = candidates[0]
        if candidates[1:]:
            notes = (
                *notes,
                f"base image: {path}: got {select.list_names(candidates)}, took the first; {source.name_hint}",
            )
        layers = tuple(_make_layer(layer, number) for number, layer in enumerate(chosen.layers, 1))
        return cls(chosen, layers, notes, lambda _: chosen.layers)

    def close(self) -> None:
        """Remove the temporary files, and close the connection to a registry. The layers cannot be read afterwards."""
        for layer in self.layers:
            layer.close()

    def fetch(self, progress: Progress | None) -> None:
        """Fetch the layers now if they are in a registry, and report that to ``progress``."""
        if self.is_remote:
            self.read_layers(progress)

    @property
    def architecture(self) -> str:
        """The image's architecture; empty if its config has none, or if there is no image."""
        return self.image.architecture if self.image else ""

    @property
    def annotations(self) -> dict[str, str]:
        """The annotations of an image that is made of this one: its name and the digest of its manifest.

        They are empty for a docker-archive, which has no manifest with a digest.
        """
        digest = self.image.manifest_digest if self.image else None
        if self.image is None or digest is None:
            return {}
        name = {BASE_NAME: self.image.full_name} if self.image.full_name else {}
        return {BASE_DIGEST: str(digest), **name}

    def check_architecture(self, architecture: str) -> tuple[str, ...]:
        """Return warnings about this base image in an image for ``architecture``.

        Raises `PlanError` if the base image is for another architecture, because its programs would not run.
        """
        if self.image is None:
            return ()
        if mismatch := _find_platform_mismatch(self.image, architecture):
            raise mismatch
        unknown = () if self.architecture else (f"base image: got no architecture, expected {architecture}",)
        return (*self.notes, *unknown)

    @cached_property
    def registrations(self) -> tuple[tuple[Registration, ...], tuple[str, ...]]:
        """The store paths in its Nix database, and warnings. Raises `FormatError` for a damaged database."""
        from lamina.rootfs import database
        from lamina.system.tempdir import TempDir

        with TempDir() as workspace:
            file = workspace.path / "db.sqlite"
            if not self._copy(database.DATABASE_PATH, file):
                return (), ()
            try:
                if self._copy(
                    database.DATABASE_PATH + database.WAL_SUFFIX,
                    file.with_name(file.name + database.WAL_SUFFIX.decode()),
                ):
                    database.checkpoint_wal(file)
                return database.read(file)
            except FormatError as error:
                error.subject = f"base image: /{database.DATABASE_PATH.decode()}"  # users do not know the copy's name
                raise

    def _copy(self, path: bytes, target: Path) -> bool:
        """Copy the file at ``path``, if there is one, to ``target``; return whether there is."""
        entry = self.root.entry(self.root.resolve(path))
        if entry is None or entry.kind is not EntryKind.FILE:
            return False
        with target.open("wb") as file:
            transfer([entry.content], file.write)
        return True

    def file(self, path: bytes, max_size: int) -> BaseFile | None:
        """Return the file that ``path`` leads to, None if there is none.

        Raises `FormatError` for a file that is longer than ``max_size`` bytes.
        """
        if self.image is None:
            return None
        real = self.root.resolve(path)
        entry = self.root.entry(real)
        if entry is None or entry.kind is not EntryKind.FILE:
            return None
        if entry.header.size > max_size:
            name = os.fsdecode(path)
            raise FormatError(f"base image: /{name}", f"{entry.header.size} bytes", f"at most {max_size}")
        content = self.root.read(real) or b""
        return BaseFile(real, content, Meta(entry.header.mode, entry.header.uid, entry.header.gid))

    def resolve(self, path: bytes) -> bytes:
        """Follow the symlinks of ``path`` inside the image's root. A part that does not exist is kept unchanged."""
        return self.root.resolve(path)

    def folder(self, path: bytes) -> Meta | None:
        """Return mode and owner of the folder at ``path`` itself, None if there is no folder."""
        entry = self.root.entry(path)
        if entry is None or entry.kind is not EntryKind.DIRECTORY:
            return None
        return Meta(entry.header.mode, entry.header.uid, entry.header.gid)

    def link(self, path: bytes) -> Symlink | None:
        """Return the symlink at ``path`` itself, None if there is no symlink."""
        entry = self.root.entry(path)
        return Symlink(path, entry.header.target) if entry and entry.kind is EntryKind.SYMLINK else None

    def exists(self, path: bytes) -> bool:
        """Return whether ``path`` itself exists."""
        return self.root.entry(path) is not None

    @cached_property
    def root(self) -> Rootfs:
        """The file system that results from the layers. Raises `FormatError`."""
        from lamina.images.readers.flatten import flatten

        with error_context("base image", FormatError):
            return flatten(self.read_layers(None))

    def merge_config(self, config: Mapping[str, Any] | None, keys: Collection[str] = ()) -> Mapping[str, Any] | None:
        """Return ``config`` merged over the base image's ``Env`` and ``keys``.

        Raises `FormatError` if the base image's config is invalid.
        """
        if self.image is None:
            return config
        base = self._read_config(self.image, ("Env", *keys))
        return merge_environment(inherit(config or {}, base, keys), base)

    @staticmethod
    def _read_config(image: InspectedImage, keys: Collection[str]) -> Mapping[str, Any]:
        """Return the image's container config, and check the types of ``keys`` in it."""
        config = image.config.get("config")
        if config is None:
            return {}
        if not isinstance(config, Mapping):
            raise FormatError("base image: config", short_repr(config), "an object")
        try:
            for key in keys:
                check_type(key, config.get(key))
        except InvalidArgument as error:
            raise error.convert(FormatError).add_context("base image") from error
        return config


def _find_platform_mismatch(image: InspectedImage, architecture: str) -> PlanError | None:
    """Return the error if the image is for another platform than ``architecture``, else None."""
    asked = Platform.parse(architecture)
    if image.effective_platform.match_rank(asked) is not None:
        return None
    return PlanError(
        "base image", f"layers for {image.platform}", f"layers for {asked}, that of the image", hint=MISMATCH_HINT
    )


def _make_layer(layer: SourceLayer, number: int) -> FinishedLayer:
    from lamina.images.source_layers import find_compressed_blob

    message = f"Adding base layer {number} from {cut(layer.name)}"
    return FinishedLayer(
        layer.tar,
        message,
        store_paths_comment([layer.name]),
        layer.diff_id,
        workspace=layer.workspace,
        name=f"base image, layer {number}",
        is_checked=True,
        stored_blob=find_compressed_blob(layer),
    )
