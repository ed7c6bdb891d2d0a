"""The public function that proves what an image's layers are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Unpack

from lamina.core.labels import shorten_digest
from lamina.core.progress import Progress, check_progress
from lamina.formats.platform import Platform
from lamina.images.layer_bytes import LayerBytes, list_file_layers, list_registry_layers
from lamina.images.readers import select
from lamina.images.readers.index_checks import check_index
from lamina.images.readers.open import open_named_images
from lamina.images.verification import ImageVerificationResult
from lamina.images.verify import verify_layers
from lamina.inputs.arguments import StoreArguments, StrPath
from lamina.inputs.parsers import parse_boolean, parse_path, parse_size
from lamina.inputs.spec import StoreSpec
from lamina.inputs.stores import make_trust, open_untrusted_store

if TYPE_CHECKING:
    from lamina.formats.registry_references import RegistryReference
    from lamina.images.readers.source_image import InspectedImage

OnBytes = Callable[[int], object]


def verify_image(
    image: StrPath,
    *,
    platform: str | None = None,
    full: bool = False,
    embedded_store: StrPath | None = None,
    max_unpacked_size: int | str | None = None,
    insecure: bool = False,
    progress: Progress | None = None,
    **sources: Unpack[StoreArguments],
) -> ImageVerificationResult:
    """Make the layers of an image again from store paths, and say which of them signed store paths give.

    The store paths of a layer are those in the image's history. They are packed from the stores, and the digest is
    compared with the diff ID in the image's config. A file or layout is read whole, and its bytes are compared with
    their digests too. Of an image in a registry, only the manifest, the config and the first headers of layers are
    read, and a layer that differs up to its first difference.

    What is fetched from binary caches goes to a temporary folder, because paths that nobody signed are fetched too.

    Args:
        image: a file or a folder, ``FILE#NAME`` for one of several images in it, or a reference to an image in a
            registry.
        platform: the platform of the image, such as ``linux/arm64``; needed if there are several.
        full: read all layers of an image in a registry, and compare them with their digests.
        embedded_store: a store that is asked after the machine's own, if ``store`` names none.
        max_unpacked_size: the most bytes that each layer may unpack to; as in `inspect`.
        insecure: whether a registry on another machine may be used over plain HTTP.
        progress: receives the progress of packing and reading the layers.
        trusted_keys: public keys, ``NAME:BASE64``, whose signatures count beside that of cache.nixos.org. If some are
            given, a store path without a signature is a failure.
        verify_signatures: whether a store path without a signature can be a failure.
        **sources: those of `StoreArguments`.

    Returns:
        The verdict on each layer. Layers that differ raise no error.

    Raises:
        InvalidArgument: an argument is wrong.
        InputError: the image is missing, or cannot be read.
        NotFound: a file has several images, or none of that name.
        FormatError: the file is not an image.
        IntegrityError: the image's documents contradict each other, or a store sent what its narinfo does not say.
        PlanError: no image is for ``platform``.
        Unavailable: a store could not be read.
        RegistryError: the registry has no such image, or failed.
        AuthError: the registry refuses the credentials, or wants some.

    """
    spec, folder = StoreSpec.parse(sources), parse_path("embedded_store", embedded_store)
    limit, is_insecure = parse_size("max_unpacked_size", max_unpacked_size), parse_boolean("insecure", insecure)
    is_whole = parse_boolean("full", full)
    wanted = Platform.parse(platform) if platform else None
    check_progress(progress)
    source = select.parse_source(image)
    received = _ByteCount()
    warnings: list[str] = []
    with (
        _open_file(source, wanted, limit, received.add, progress)
        if isinstance(source, select.ImageFile)
        else _open_reference(source, wanted, limit, received.add, is_whole=is_whole, is_insecure=is_insecure) as opened,
        open_untrusted_store(spec, folder, warnings) as store,
    ):
        found, layers = opened
        title = next(iter((*found.repo_tags, *found.tags)), shorten_digest(found.digest))
        verified = verify_layers(layers, store, make_trust(spec), title, progress, warnings.append)
    return ImageVerificationResult(
        found.digest,
        found.repo_tags,
        found.platform,
        verified,
        is_whole or isinstance(source, select.ImageFile),
        bool(spec.trusted_keys) and spec.verify_signatures,
        received.count,
        tuple(dict.fromkeys(warnings)),
    )


class _ByteCount:
    def __init__(self) -> None:
        self.count = 0

    def add(self, size: int) -> None:
        """Count ``size`` bytes more."""
        self.count += size


_OpenedImage = tuple["InspectedImage", Sequence[LayerBytes]]


@contextmanager
def _open_file(
    source: select.ImageFile, platform: Platform | None, limit: int | None, on_bytes: OnBytes, progress: Progress | None
) -> Iterator[_OpenedImage]:
    images = named = open_named_images(source, limit, progress, reads_layers=False)
    hint = source.name_hint if source.name is None else select.PLATFORM_HINT
    if platform:
        images = select.select_by_platform(images, platform, source.path, select.PLATFORM_HINT)
    image = select.select_single(images, source.path, hint)
    # An engine might run another image of the index than the one that is verified.
    check_index([one for one in named if {*one.indexes} & {*image.indexes}], source.path)
    yield image, list_file_layers(image, limit, on_bytes)


@contextmanager
def _open_reference(
    source: RegistryReference,
    platform: Platform | None,
    limit: int | None,
    on_bytes: OnBytes,
    *,
    is_whole: bool,
    is_insecure: bool,
) -> Iterator[_OpenedImage]:
    from lamina.images.readers.registry_image import read_registry_images
    from lamina.registry.open import open_repository

    with open_repository(source, insecure=is_insecure) as connection:
        images = read_registry_images(connection, source, platform)
        image = select.select_single(images, source, select.PLATFORM_HINT)
        yield image, list_registry_layers(image, connection, limit, on_bytes, is_read=is_whole)
