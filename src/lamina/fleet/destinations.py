"""Where the images of a batch go: repositories below a prefix of a registry, or one OCI layout."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from lamina.compression.compressors import NO_LAYER_COMPRESSION, REGISTRY_LAYER_COMPRESSION, LayerCompression
from lamina.errors import InvalidArgument
from lamina.fleet.blob_homes import BlobHome, LayoutHome, RegistryHome
from lamina.fleet.finish import ImageFinisher, LayoutFinisher, RegistryFinisher
from lamina.formats.registry_references import RegistryReference
from lamina.layers.context import BuildContext
from lamina.messages.redaction import holds_secret, short_repr

_EXAMPLE = "REGISTRY/PREFIX, such as ghcr.io/me"
_HINT = "the names and tags of images come from the tables of the spec file"


class BatchDestination(ABC):
    """A place for many images.

    Attributes:
        is_registry: Whether images go to repositories of a registry.
    """

    __slots__ = ()
    is_registry = False

    @property
    @abstractmethod
    def compression(self) -> LayerCompression:
        """How layers are compressed that no argument says it of."""

    @abstractmethod
    def find_home(self, repository: str, *, insecure: bool = False) -> BlobHome:
        """Return where the layers of an image go that no earlier image has.

        Args:
            repository: the name of the image.
            insecure: whether its own arguments allow plain HTTP.

        """

    @abstractmethod
    def make_finisher(self, context: BuildContext) -> ImageFinisher:
        """Return what writes the rest of each image."""

    def make_reference(self, repository: str, tag: str) -> RegistryReference | None:
        """Return the name of an image in a registry; None if it does not go to one. Raises `InvalidArgument`."""
        return None


@dataclass(frozen=True, slots=True)
class RegistryPrefix(BatchDestination):
    """The repositories of a registry whose names begin alike.

    Attributes:
        prefix: ``HOST[:PORT]`` or ``HOST[:PORT]/NAME``, without a slash at its end.
        insecure: whether plain HTTP is allowed.
    """

    prefix: str
    insecure: bool = False
    is_registry = True

    @classmethod
    def parse(cls, text: str, *, insecure: bool = False) -> RegistryPrefix:
        """Parse the prefix of references, with or without ``docker://`` before it. Raises `InvalidArgument`."""
        prefix = text.rstrip("/")
        try:
            reference = RegistryReference.parse(f"{prefix}/image")
        except InvalidArgument as error:
            got = error.got if holds_secret(text) else short_repr(text)
            raise InvalidArgument("to", got, _EXAMPLE, hint=error.hint or _HINT) from error
        if reference.digest:
            raise InvalidArgument("to", short_repr(text), _EXAMPLE, hint=_HINT)
        return cls(reference.name.removesuffix("/image"), insecure)

    @property
    def compression(self) -> LayerCompression:
        """How layers are compressed: with gzip."""
        return REGISTRY_LAYER_COMPRESSION

    def make_reference(self, repository: str, tag: str) -> RegistryReference:
        """Return the name of an image."""
        return RegistryReference.parse(f"{self.prefix}/{repository}:{tag}")

    def find_home(self, repository: str, *, insecure: bool = False) -> RegistryHome:
        """Return the repository of an image."""
        return RegistryHome(self.make_reference(repository, "latest"), self.insecure or insecure)

    def make_finisher(self, context: BuildContext) -> RegistryFinisher:
        """Return what pushes the rest of each image."""
        return RegistryFinisher(context)


@dataclass(frozen=True, slots=True)
class LayoutFolder(BatchDestination):
    """An OCI layout for all images.

    Attributes:
        folder: the layout, as an absolute path.
    """

    folder: Path

    @property
    def compression(self) -> LayerCompression:
        """How layers are compressed: not at all."""
        return NO_LAYER_COMPRESSION

    def find_home(self, repository: str, *, insecure: bool = False) -> LayoutHome:
        """Return the layout."""
        return LayoutHome(str(self.folder))

    def make_finisher(self, context: BuildContext) -> LayoutFinisher:
        """Return what adds the rest of each image to the layout."""
        return LayoutFinisher(self.folder, context)
