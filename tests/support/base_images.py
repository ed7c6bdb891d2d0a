"""A registry with base images, for images that are made over them."""

import gzip
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.image_files import LayoutBuilder, platform, tar
from tests.support.registry import QUICK, MemoryRegistry, add_image, serve_registry

from lamina.transports.retry import use_policy


def pack(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


@contextmanager
def serve_base_images(
    folder: Path, layers: Sequence[bytes], config: Mapping[str, Any] | None = None
) -> Iterator[MemoryRegistry]:
    """Serve base/image:1, whose layers are gzipped and which is also the layout ``folder``, and base/all:1.

    The latter is for two platforms.
    """
    with serve_registry() as server, use_policy(QUICK):
        layout = LayoutBuilder()
        image = layout.image(list(layers), compress=pack, ending="+gzip", config_more=dict(config or {}))
        add_image(server, layout, image, "base/image")
        layout.index(image)
        layout.write(folder)
        layout = LayoutBuilder()
        images = [
            layout.image([tar({name: b""})], config_more=platform(name), platform=platform(name))
            for name in ("amd64", "arm64")
        ]
        add_image(server, layout, layout.nested(images), "base/all")
        yield server
