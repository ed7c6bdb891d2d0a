"""The layers of an image in a registry are fetched into a layout, several at a time."""

from __future__ import annotations

import select
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.image_files import LayoutBuilder, layer, sha256
from tests.support.registry import MemoryRegistry, RegistryHandler, add_image, connect, serve_registry

from lamina.errors import RegistryError
from lamina.images.fetch import FetchedBlobs, fetch_layers
from lamina.images.readers.registry_image import read_registry_images
from lamina.images.writers.layout_blobs import open_layout

LAYERS = [layer("one"), layer("two")]


@pytest.fixture
def registry() -> Iterator[MemoryRegistry]:
    """Return a registry with me/app:1."""
    with serve_registry() as server:
        layout = LayoutBuilder()
        add_image(server, layout, layout.image(LAYERS))
        yield server


def fetch(registry: MemoryRegistry, folder: Path) -> FetchedBlobs:
    with connect(registry) as connection, open_layout(folder, verify=False) as blobs:
        (image,) = read_registry_images(connection, registry.reference())
        return fetch_layers(connection, image, blobs)


def test_only_what_is_missing_is_fetched(registry: MemoryRegistry, tmp_path: Path) -> None:
    assert fetch(registry, tmp_path) == FetchedBlobs(2, sum(map(len, LAYERS)))
    assert fetch(registry, tmp_path) == FetchedBlobs(0, 0)


def test_the_first_failure_ends_the_other_layers(registry: MemoryRegistry, tmp_path: Path) -> None:
    slow, missing = LAYERS
    del registry.blobs["me/app"][sha256(missing)]
    closed_early = []

    def send_slowly(handler: RegistryHandler) -> bool:
        """Send the layer byte by byte until the client closes the connection."""
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(slow)))
        handler.end_headers()
        for position in range(200):
            handler.wfile.write(slow[position : position + 1])
            if select.select([handler.connection], [], [], 0.05)[0]:
                closed_early.append(position)
                break
        return handler.cut()

    registry.fail("GET", f"/blobs/{sha256(slow)}", send_slowly)
    with pytest.raises(RegistryError, match=f"{sha256(missing)}.* HTTP 404"):
        fetch(registry, tmp_path)
    assert closed_early
