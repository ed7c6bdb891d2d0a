"""Fetch the blobs of an image in a registry into an OCI layout.

The first failure ends the other transfers, because the image cannot be complete any more.

Invariant: a blob gets its name in the layout only after its bytes were compared with its digest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lamina.core.labels import name_layer, shorten_digest
from lamina.core.progress import COPIED, FETCHED, FileSubject, Progress, ProgressItem, Work
from lamina.errors import FormatError, RegistryError, output_error
from lamina.formats.docker import list_layer_comments
from lamina.images.blob_cache import BlobCache
from lamina.images.readers.oci_manifests import FOREIGN_LAYERS
from lamina.images.readers.registry_image import RegistryImage, RegistryLayer
from lamina.images.readers.unpack import MAX_UNPACKED_HINT
from lamina.images.writers.layout_blobs import LayoutBlobs
from lamina.messages.sizes import format_size
from lamina.registry.blobs import read_blob
from lamina.registry.connection import RegistryConnection
from lamina.system.progress_reporter import ProgressReporter
from lamina.system.threads import ThreadPool
from lamina.system.transfer import BlobInfo

# skopeo fetches six blobs at a time, docker three.
_THREADS = 6
_FOREIGN_HINT = "this layer may not be distributed, and lamina does not fetch such layers from elsewhere"


@dataclass(frozen=True, slots=True)
class FetchedBlobs:
    """The blobs that came from the registry.

    Attributes:
        count: the number of blobs.
        size: the sum of their sizes in bytes.
    """

    count: int
    size: int


def fetch_layers(
    connection: RegistryConnection,
    image: RegistryImage,
    blobs: LayoutBlobs,
    cache: BlobCache | None = None,
    progress: Progress | None = None,
    max_unpacked: int | None = None,
) -> FetchedBlobs:
    """Fetch the layers that a layout lacks, several at a time, and add the config and the manifest.

    Args:
        connection: the repository of ``image``.
        image: the image.
        blobs: the blobs of the layout.
        cache: the place where layers are looked for first.
        progress: receives the progress; each distinct layer is an item.
        max_unpacked: the most bytes to which the layers may unpack later. Nothing is fetched if they are larger already
            while they are compressed. None for no limit.

    Returns:
        The blobs that came from the registry.

    Raises:
        FormatError: the compressed layers are larger than ``max_unpacked``.
        RegistryError: the registry lacks a layer, or failed.
        AuthError: the registry refuses the credentials.
        IntegrityError: a layer does not match its digest.
        OutputError: the layout cannot be written.

    """
    layers = list({layer.digest: layer for layer in image.layers}.values())
    _check_size(image, layers, max_unpacked)
    fetched = _Fetcher(connection, blobs, cache, ProgressReporter(progress)).fetch(
        str(image.reference), layers, _make_items(image, layers)
    )
    blobs.add(image.config_json)
    blobs.add(image.manifest.document)
    return fetched


def _check_size(image: RegistryImage, layers: Sequence[RegistryLayer], max_unpacked: int | None) -> None:
    size = sum(layer.size for layer in layers if not layer.descriptor.media_type.endswith("tar"))
    # Bytes that cannot be compressed grow by less than two percent.
    if max_unpacked is not None and size - size // 50 > max_unpacked:
        got = f"{format_size(size)} of compressed layers"
        expected = f"layers that unpack to at most {format_size(max_unpacked)}"
        raise FormatError(image.reference, got, expected, hint=MAX_UNPACKED_HINT)


class _EndedError(Exception):
    """A transfer was ended because another one failed."""


class _Fetcher:
    def __init__(
        self, connection: RegistryConnection, blobs: LayoutBlobs, cache: BlobCache | None, progress: ProgressReporter
    ) -> None:
        self._connection = connection
        self._blobs = blobs
        self._cache = cache
        self._progress = progress
        # Errors in the order in which they happened; appending is atomic.
        self._failures: list[BaseException] = []

    def fetch(self, title: str, layers: Sequence[RegistryLayer], items: tuple[ProgressItem, ...]) -> FetchedBlobs:
        self._progress.begin(Work(title, items))
        present = self._blobs.find([BlobInfo(layer.digest, layer.size) for layer in layers])
        with ThreadPool(_THREADS, "lamina-pull") as pool:
            futures = []
            for layer, item in zip(layers, items, strict=True):
                outcome = present.get(BlobInfo(layer.digest, layer.size))
                if outcome:
                    self._progress.finish(item, outcome, layer.size)
                else:
                    futures.append((layer, pool.submit(partial(self._run, layer, item))))
            sizes = [layer.size for layer, future in futures if future.result()]
        if self._failures:
            raise self._failures[0]
        self._progress.documents()
        self._progress.done()
        return FetchedBlobs(len(sizes), sum(sizes))

    def _run(self, layer: RegistryLayer, item: ProgressItem) -> bool:
        """Store a layer unless another one has failed; return whether it came from the registry."""
        try:
            return not self._failures and self._store(layer, item)
        except _EndedError:
            pass
        except BaseException as error:  # noqa: BLE001 - `fetch` raises it
            self._failures.append(error)
        return False

    def _store(self, layer: RegistryLayer, item: ProgressItem) -> bool:
        """Store a layer that the layout lacks; return whether it came from the registry."""
        blob, part = BlobInfo(layer.digest, layer.size), self._blobs.create()
        self._progress.start(item)
        is_cached = bool(self._cache and self._cache.take(blob, part, may_link=True))
        if not is_cached:
            self._download(layer, item, part)
        finish = partial(self._progress.finish, item, size=layer.size)
        self._blobs.commit(part, blob, COPIED if is_cached else FETCHED, item, finish)
        return not is_cached

    def _download(self, layer: RegistryLayer, item: ProgressItem, part: Path) -> None:
        pieces = read_blob(self._connection, layer.digest, layer.size)
        try:
            with part.open("wb") as file:
                for piece in pieces:
                    if self._failures:
                        raise _EndedError
                    file.write(piece)
                    self._progress.advance(item, len(piece))
        except OSError as error:
            raise output_error(part, error) from error
        except RegistryError as error:
            if layer.descriptor.media_type in FOREIGN_LAYERS:
                error.add_hint(_FOREIGN_HINT)
            raise


def _make_items(image: RegistryImage, layers: Sequence[RegistryLayer]) -> tuple[ProgressItem, ...]:
    """Return an item of progress for each of ``layers``, which are those of an image, each once."""
    comments = list_layer_comments(image.config, len(image.layers))
    comment_of = {layer.digest: comment for layer, comment in zip(image.layers, comments, strict=True)}
    return tuple(
        ProgressItem(
            number,
            layer.size,
            FileSubject(name_layer(layer.paths, comment_of[layer.digest], shorten_digest(layer.digest))),
        )
        for number, layer in enumerate(layers, 1)
    )
