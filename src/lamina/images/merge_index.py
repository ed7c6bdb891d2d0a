"""Merge images that exist into image indexes: those of one name for different platforms become one index.

Images keep their manifests where the destination can have them, so that their digests stay the same. So does an index
all of whose images are merged under one name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lamina.compression.compressors import LayerCompression
from lamina.core.names import ImageReference
from lamina.errors import InvalidArgument
from lamina.formats.annotations import sort_annotations
from lamina.formats.image_names import canonical_name, familiar_name
from lamina.formats.media_types import DOCKER, OCI, MediaTypes
from lamina.formats.oci import Descriptor
from lamina.formats.oci_index import PlatformManifest, dump_index
from lamina.formats.platform import Platform
from lamina.images.existing_image import ExistingImage
from lamina.images.readers.index_checks import check_index, list_gaps
from lamina.images.readers.index_contents import ListedDocument, WholeIndex, find_whole_index
from lamina.images.readers.platforms import list_indexes
from lamina.images.readers.source_image import InspectedImage

_NAME_HINT = "name them with -t NAME:TAG, in Python name='NAME:TAG'"


@dataclass(frozen=True, slots=True)
class FoundImage:
    """An image that exists.

    Attributes:
        image: the image.
        origin: the file or the reference that it was found in.
        chosen_name: the name by which it was chosen in the file; None if there was none.
    """

    image: ExistingImage
    origin: object
    chosen_name: str | None = None

    @property
    def described(self) -> InspectedImage:
        """The image as it was read."""
        return self.image.described

    @property
    def platform(self) -> Platform:
        """The platform of the image, from its config and its index."""
        return self.described.effective_platform

    @property
    def names(self) -> tuple[ImageReference, ...]:
        """Its names as docker shows them; only the one by which it was chosen, unless that was an ID or a bare tag."""
        tags = self.described.repo_tags
        chosen = canonical_name(self.chosen_name) if self.chosen_name is not None else None
        matching = [tag for tag in tags if canonical_name(tag) == chosen]
        return tuple(familiar_name(ImageReference.parse(tag)) for tag in matching or tags)


@dataclass(frozen=True, slots=True)
class PlatformImages:
    """An image for one platform or several.

    Attributes:
        name: its name; the first one of several.
        images: the image for each platform.
        whole: the index whose images these are, if it is kept as it is; None if there is none, or a new one is made.
    """

    name: ImageReference
    images: tuple[FoundImage, ...]
    whole: WholeIndex | None = None

    @property
    def has_index(self) -> bool:
        """Whether the name refers to an index rather than to a single image."""
        return self.whole is not None or len(self.images) > 1

    @property
    def others(self) -> tuple[ListedDocument, ...]:
        """The manifests and indexes that the index lists besides the images."""
        return self.whole.others if self.whole else ()

    def dump_index(self, manifests: Sequence[Descriptor]) -> tuple[bytes, Descriptor]:
        """Return the index as JSON, and its descriptor.

        The types of a new index are docker's if all manifests have them, else OCI's. It has the annotations of the
        index that listed all images before, if there was one.

        Args:
            manifests: the descriptors of the manifests of ``images``, in the same order.

        Raises:
            InvalidArgument: two images are for the same platform.

        """
        if self.whole:
            return self.whole.index.document, self.whole.index.descriptor
        types = DOCKER if all(manifest.media_type == DOCKER.manifest for manifest in manifests) else OCI
        listed = [
            PlatformManifest(replace(manifest, annotations=()), found.platform)
            for found, manifest in zip(self.images, manifests, strict=True)
        ]
        document = dump_index(listed, sort_annotations(self._find_annotations()), types)
        return document, Descriptor.of(types.index, document)

    def list_warnings(self) -> tuple[str, ...]:
        """Return warnings about what an index lacks, and about attestations that a new one leaves out."""
        indexes = list_indexes([found.described for found in self.images])
        gaps = tuple(gap for index in indexes for gap in list_gaps(index))
        has_attestations = any(listed.is_attestation for index in indexes for listed in index.manifests)
        if self.whole or not has_attestations:
            return gaps
        left_out = f"{self.name}: attestations are left out, because they are about manifests or an index that changed"
        return (*gaps, left_out)

    def _find_annotations(self) -> dict[str, str]:
        described = [found.described for found in self.images]
        indexes = list_indexes(described)
        return indexes[0].annotations if len(indexes) == 1 and all(image.indexes for image in described) else {}


def gather_platforms(
    name: ImageReference,
    images: Sequence[FoundImage],
    compression: LayerCompression,
    types: MediaTypes | None = None,
    chosen_name: str | None = None,
) -> PlatformImages:
    """Return images that get one name, with the index that they have if it can be kept as it is.

    Args:
        name: the name.
        images: the images.
        compression: how each layer is compressed that is stored uncompressed.
        types: the media types that are wanted; None for those that the images have.
        chosen_name: the name by which the images were chosen; the index has to have it.

    Raises:
        InvalidArgument: two images are for the same platform, or one of several states none.
        IntegrityError: an image has another platform than its index states.
        Error: what `find_whole_index` raises.

    """
    described = [found.described for found in images]
    check_index(described, name)
    is_kept = all(found.image.keeps_manifest(compression, types) for found in images)
    has_one_origin = len({str(found.origin) for found in images}) == 1
    whole = find_whole_index(described, name, chosen_name) if is_kept and has_one_origin else None
    if whole is None:
        _check_members(name, images)
    return PlatformImages(name, tuple(images), whole)


def group_by_name(
    images: Sequence[FoundImage], compression: LayerCompression, name: ImageReference | None = None
) -> tuple[PlatformImages, ...]:
    """Return the images of each name, in order; all images have the name ``name`` if it is given.

    Args:
        images: the images.
        compression: how each layer is compressed that is stored uncompressed.
        name: the only name.

    Raises:
        InvalidArgument: there is no image, an image has no name, or what `gather_platforms` raises.
        Error: what else `gather_platforms` raises.

    """
    if not images:
        raise InvalidArgument("images", "none", "at least one")
    groups: dict[str, tuple[ImageReference, list[FoundImage]]] = {}
    for found in images:
        references = (name,) if name else found.names
        if not references:
            raise InvalidArgument(found.origin, "an image without a name", "NAME:TAG for each image", hint=_NAME_HINT)
        for reference in references:
            _, members = groups.setdefault(canonical_name(str(reference)), (reference, []))
            if all(other.described.digest != found.described.digest for other in members):
                members.append(found)
    return tuple(
        gather_platforms(reference, members, compression, chosen_name=None if name else str(reference))
        for reference, members in groups.values()
    )


def _check_members(name: ImageReference, images: Sequence[FoundImage]) -> None:
    by_platform: dict[Platform, FoundImage] = {}
    for found in images if len(images) > 1 else ():
        if not found.platform.architecture:
            raise InvalidArgument(name, f"an image in {found.origin} that states no platform", "one for each image")
        other = by_platform.setdefault(found.platform, found)
        if other is not found:
            one, two = (f"{item.described.digest} in {item.origin}" for item in (other, found))
            got = f"two images for {found.platform}, {one} and {two}"
            raise InvalidArgument(name, got, "one for each platform", hint="leave one of them out, or rename it")
