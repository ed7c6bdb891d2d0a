"""The bytes of an image's layers for a verification: where they are, and how much of them is read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial

from lamina.compression.streams import detect_and_decode
from lamina.core.names import Digest
from lamina.errors import FormatError, IntegrityError
from lamina.formats.docker import list_layer_comments
from lamina.formats.tar_reader import TarHeader, read_headers
from lamina.images.readers.blobs import find_stated_digest
from lamina.images.readers.registry_image import RegistryImage, RegistryLayer
from lamina.images.readers.source_image import InspectedLayer, SourceImage, SourceLayer
from lamina.images.readers.unpack import check_unpacked_size
from lamina.images.tar_difference import UNKNOWN_LENGTH, ForwardReader
from lamina.registry.blobs import read_blob, read_blob_start
from lamina.registry.connection import RegistryConnection
from lamina.system.extents import iter_extent

# How much of a blob is read for the first header. A block of zstd can have 128 KiB, and gives nothing before its end.
_START, _ZSTD_START = 1 << 12, 1 << 18

OnBytes = Callable[[int], object]


@dataclass(frozen=True, slots=True)
class LayerBytes:
    """A layer of an image, whose bytes may be read.

    Attributes:
        number: its position in the image, counted from 1.
        layer: what the image says of it.
        comment: the comment on it in the image's history.
        is_read: whether all its bytes are to be read, even if nothing else demands it.
        digest: the digest that its blob must have; None if the image states none, or it is checked while it is read.
        max_unpacked: the most bytes that it may unpack to; None for the default.
        open_blob: yields the bytes of the blob.
        open_start: yields the bytes of the beginning of the blob.
    """

    number: int
    layer: InspectedLayer
    comment: str
    is_read: bool
    digest: Digest | None
    max_unpacked: int | None
    open_blob: Callable[[], Iterable[bytes]] = field(repr=False)
    open_start: Callable[[], Iterable[bytes]] = field(repr=False)

    def open_tar(self, on_blob_bytes: Callable[[bytes], object] | None = None) -> Iterator[bytes]:
        """Yield the uncompressed tar. Raises `FormatError` and `IntegrityError` where the bytes are damaged.

        ``on_blob_bytes`` is called with each piece of the blob.
        """
        return self._decode(self.open_blob(), on_blob_bytes)

    def open_readable_tar(self) -> Iterator[bytes]:
        """Yield the uncompressed tar up to where it is damaged."""
        try:
            yield from self.open_tar()
        except (FormatError, IntegrityError):
            return

    def find_damage(self, on_bytes: OnBytes) -> IntegrityError | FormatError | None:
        """Read all bytes; return the error if the blob does not have its digest, or the tar not the diff ID."""
        stored, plain = hashlib.sha256(), hashlib.sha256()
        # A blob that is not compressed has the diff ID as its digest, so it is hashed once.
        is_compressed = self.digest not in (None, self.layer.diff_id)
        try:
            for piece in self.open_tar(stored.update if is_compressed else None):
                plain.update(piece)
                on_bytes(len(piece))
        except IntegrityError as error:
            return error
        except FormatError as error:
            return self._find_wrong_digest() or error
        if is_compressed and self.digest and stored.digest() != self.digest.raw:
            return self._make_digest_error(stored.digest())
        if plain.digest() != self.layer.diff_id.raw:
            subject = f"layer {self.number}"
            return IntegrityError(subject, f"bytes with the digest {Digest(plain.digest())}", self.layer.diff_id)
        return None

    def _find_wrong_digest(self) -> IntegrityError | None:
        """Return the error if a blob that cannot be unpacked has not its digest; None if it has, or must have none."""
        hasher = hashlib.sha256()
        for piece in self.open_start() if self.digest else ():
            hasher.update(piece)
        return self._make_digest_error(hasher.digest()) if self.digest and hasher.digest() != self.digest.raw else None

    def _make_digest_error(self, digest: bytes) -> IntegrityError:
        return IntegrityError(f"blob {self.layer.name}", f"the digest {Digest(digest)}", self.digest)

    def read_first_header(self) -> TarHeader:
        """Return the first header of the tar. Raises `FormatError` if there is none."""
        try:
            return self._find_first_header(self.open_start())
        except FormatError:  # perhaps the beginning of the blob is too short to unpack anything
            return self._find_first_header(self.open_blob())

    def _find_first_header(self, blob: Iterable[bytes]) -> TarHeader:
        for header in read_headers(ForwardReader(self._decode(blob, None)), UNKNOWN_LENGTH):
            return header
        raise FormatError(f"layer {self.number}", "an empty tar", "the headers of store paths")

    def _decode(self, pieces: Iterable[bytes], on_blob_bytes: Callable[[bytes], object] | None) -> Iterator[bytes]:
        received = size = 0

        def count() -> Iterator[bytes]:
            nonlocal received
            for piece in pieces:
                received += len(piece)
                if on_blob_bytes:
                    on_blob_bytes(piece)
                yield piece

        for piece in detect_and_decode(count()):
            size += len(piece)
            check_unpacked_size(size, received, self.max_unpacked)
            yield piece


def list_file_layers(image: SourceImage, max_unpacked: int | None, on_bytes: OnBytes) -> tuple[LayerBytes, ...]:
    """Return the layers of an image in a file or layout, which are all read.

    ``on_bytes`` is called with the number of bytes of the blobs that were read.
    """

    def make(number: int, layer: SourceLayer, comment: str) -> LayerBytes:
        open_blob = partial(iter_extent, layer.blob)
        read = partial(_count, open_blob, on_bytes)
        return LayerBytes(number, layer, comment, True, find_stated_digest(layer.name), max_unpacked, read, open_blob)

    comments = list_layer_comments(image.config, len(image.layers))
    return tuple(map(make, range(1, len(comments) + 1), image.layers, comments))


def list_registry_layers(
    image: RegistryImage,
    connection: RegistryConnection,
    max_unpacked: int | None,
    on_bytes: OnBytes,
    *,
    is_read: bool,
) -> tuple[LayerBytes, ...]:
    """Return the layers of an image in a registry, of which no more is read than is needed unless ``is_read``.

    ``on_bytes`` is called with the number of bytes of the blobs that were received.
    """

    def make(number: int, layer: RegistryLayer, comment: str) -> LayerBytes:
        start_size = _ZSTD_START if layer.descriptor.media_type.endswith("zstd") else _START
        return LayerBytes(
            number,
            layer,
            comment,
            is_read,
            None,
            max_unpacked,
            partial(_count, partial(read_blob, connection, layer.digest, layer.size), on_bytes),
            partial(_count, lambda: [read_blob_start(connection, layer.digest, start_size)], on_bytes),
        )

    comments = list_layer_comments(image.config, len(image.layers))
    return tuple(map(make, range(1, len(comments) + 1), image.layers, comments))


def _count(open_pieces: Callable[[], Iterable[bytes]], on_bytes: OnBytes) -> Iterator[bytes]:
    for piece in open_pieces():
        on_bytes(len(piece))
        yield piece
