"""The media types of indexes, manifests, configs and layers: those of OCI, and those of docker.

They are specified in the OCI image-spec 1.1, "Media Types", and in docker's "Image Manifest V 2, Schema 2". Docker's
have no annotations, and no compression of layers but gzip.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from lamina.errors import InvalidArgument
from lamina.formats.oci import CONFIG_TYPE, INDEX_TYPE, LAYER_TYPE, MANIFEST_TYPE, Descriptor
from lamina.messages.redaction import short_repr

_NO_CODEC = "none"


@dataclass(frozen=True, slots=True)
class MediaTypes:
    """The media types of the documents and layers of an image.

    Attributes:
        name: what users call them.
        index: the type of an index, which docker calls a manifest list.
        manifest: the type of a manifest.
        config: the type of a config.
        layer: the type of an uncompressed layer.
        foreign_layer: the type of an uncompressed layer that may not be distributed.
        separator: what stands between the type of a layer and its compression.
        codecs: the compressions of layers that the standard has a type for.
        has_annotations: whether manifests and descriptors have annotations.
    """

    name: str
    index: str
    manifest: str
    config: str
    layer: str
    foreign_layer: str
    separator: str
    codecs: tuple[str, ...]
    has_annotations: bool

    def layer_type(self, codec: str) -> str:
        """Return the media type of a layer that is compressed with ``codec``."""
        return self.layer if codec == _NO_CODEC else f"{self.layer}{self.separator}{codec}"

    def check_codec(self, subject: str, codec: str) -> None:
        """Raise `InvalidArgument` if there is no media type for layers that are compressed with ``codec``."""
        if codec not in self.codecs:
            got = f"{codec} and {self.name}'s media types"
            hint = "--media-types oci has all compressions, and is the default"
            raise InvalidArgument(subject, got, f"layers of {' or '.join(self.codecs)}", hint=hint)

    def describe(self, layer: Descriptor) -> Descriptor:
        """Return the descriptor of a layer with the media type that its blob has here.

        Annotations are left out if there are none here. Raises `InvalidArgument` if no media type fits.
        """
        for other in MEDIA_TYPES.values():
            for known, own in ((other.layer, self.layer), (other.foreign_layer, self.foreign_layer)):
                codec = _find_codec(layer.media_type, known, other.separator)
                if codec:
                    self.check_codec(f"layer {layer.digest}", codec)
                    media_type = own if codec == _NO_CODEC else f"{own}{self.separator}{codec}"
                    return replace(
                        layer, media_type=media_type, annotations=layer.annotations if self.has_annotations else ()
                    )
        return layer


def _find_codec(media_type: str, uncompressed: str, separator: str) -> str:
    """Return the codec in the media type of a layer; an empty text if it is none that begins with ``uncompressed``."""
    if media_type == uncompressed:
        return _NO_CODEC
    codec = media_type.removeprefix(uncompressed + separator)
    return "" if codec == media_type else codec


_OCI, _DOCKER = "application/vnd.oci.image.", "application/vnd.docker."
OCI = MediaTypes(
    "oci",
    INDEX_TYPE,
    MANIFEST_TYPE,
    CONFIG_TYPE,
    LAYER_TYPE,
    f"{_OCI}layer.nondistributable.v1.tar",
    "+",
    ("none", "gzip", "zstd"),
    has_annotations=True,
)
DOCKER = MediaTypes(
    "docker",
    f"{_DOCKER}distribution.manifest.list.v2+json",
    f"{_DOCKER}distribution.manifest.v2+json",
    f"{_DOCKER}container.image.v1+json",
    f"{_DOCKER}image.rootfs.diff.tar",
    f"{_DOCKER}image.rootfs.foreign.diff.tar",
    ".",
    ("none", "gzip"),
    has_annotations=False,
)
MEDIA_TYPES: Mapping[str, MediaTypes] = {types.name: types for types in (OCI, DOCKER)}


def parse_media_types(name: str, value: str | MediaTypes) -> MediaTypes:
    """Return the media types that ``value`` names: ``oci`` or ``docker``. Raises `InvalidArgument`."""
    if isinstance(value, MediaTypes):
        return value
    if not isinstance(value, str) or value not in MEDIA_TYPES:
        raise InvalidArgument(name, short_repr(value), " or ".join(MEDIA_TYPES))
    return MEDIA_TYPES[value]
