"""The layers of a served image come from those that were kept, or are made; a wrong one never passes for right."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.fake_nix_store import FakeStore, example, layer_cache_at, lose_files
from tests.support.layer_cache import digest
from tests.support.served_images import StoreCatalog, open_files

from lamina.core.names import Digest
from lamina.errors import Error, IntegrityError
from lamina.images.blob_cache import BlobCache
from lamina.layer_cache.cache import LayerCache
from lamina.layers.context import BuildContext
from lamina.server.blob_files import BlobFiles
from lamina.server.http_messages import Content
from lamina.server.served_image import ServedImage
from lamina.system.transfer import BlobInfo

CONTENTS = {("hello", "latest"): ["hello"]}


@pytest.fixture
def store(tmp_path: Path) -> FakeStore:
    return example(tmp_path / "root")[0]


@pytest.fixture
def kept(tmp_path: Path) -> BlobCache:
    return BlobCache(tmp_path / "kept")


@pytest.fixture
def layer_cache(tmp_path: Path) -> Iterator[LayerCache]:
    with layer_cache_at(tmp_path / "layers.sqlite") as opened:
        yield opened


def make(store: FakeStore, files: BlobFiles, layer_cache: LayerCache, kept: BlobCache | None) -> ServedImage:
    """Make an image with folders of temporary files of its own, as another process does."""
    return StoreCatalog(store.root, CONTENTS, files, BuildContext(layer_cache, blobs=kept)).make("hello", "latest")


def read_layers(image: ServedImage) -> dict[Digest, bytes]:
    layers = [blob.digest for blob in image.images[0].blobs]
    return {layer: read(image.blobs[layer]) for layer in layers}


def read(content: Content) -> bytes:
    return b"".join(map(bytes, content.read(0, content.size)))


def test_a_layer_that_was_kept_is_not_made(store: FakeStore, kept: BlobCache, layer_cache: LayerCache) -> None:
    with open_files() as files:
        first = read_layers(make(store, files, layer_cache, kept))
    lose_files(store)
    with open_files() as files:
        assert read_layers(make(store, files, layer_cache, kept)) == first
    with open_files() as files, pytest.raises(Error):
        read_layers(make(store, files, layer_cache, None))


def test_a_layer_that_is_made_for_a_client_is_kept(store: FakeStore, kept: BlobCache, layer_cache: LayerCache) -> None:
    with open_files() as files:
        first = read_layers(make(store, files, layer_cache, None))
    with open_files() as files:
        assert read_layers(make(store, files, layer_cache, kept)) == first
    assert len(kept.list_blobs()) == len(first)


def test_a_kept_layer_that_is_damaged_is_made(store: FakeStore, kept: BlobCache, layer_cache: LayerCache) -> None:
    with open_files() as files:
        first = read_layers(make(store, files, layer_cache, kept))
    for blob in kept.list_blobs():
        blob.file.write_bytes(b"x" * blob.size)
    with open_files() as files:
        assert read_layers(make(store, files, layer_cache, kept)) == first


def test_a_layer_that_is_not_what_the_layer_cache_says_is_neither_sent_nor_kept(
    store: FakeStore, kept: BlobCache, layer_cache: LayerCache
) -> None:
    with open_files() as files:
        image = make(store, files, layer_cache, None)
    layer, wrong = image.images[0].image.layers[0], BlobInfo(digest("wrong"), image.images[0].blobs[0].size)
    codecs = StoreCatalog(store.root, CONTENTS, files).compression.identity
    layer_cache.put_compressed(layer.diff_id, codecs, wrong)
    with open_files() as files:
        content = make(store, files, layer_cache, kept).blobs[wrong.digest]
        with pytest.raises(IntegrityError):
            read(content)
    for blob in kept.list_blobs():
        assert blob.file.name == hashlib.sha256(blob.file.read_bytes()).hexdigest()
        assert blob.file.name != wrong.digest.hex
