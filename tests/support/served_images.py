"""Images of a store of tests, served on demand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lamina
from lamina.compression.compressors import LayerCompression
from lamina.layers.context import BuildContext
from lamina.server.blob_files import BlobFiles
from lamina.server.http_messages import Headers, ServerRequest, ServerResponse
from lamina.server.images_on_demand import ImagesOnDemand
from lamina.server.respond import respond
from lamina.server.served_image import MakingSettings, ServedImage, make_image

MAX_BLOBS = 1 << 30


@dataclass
class StoreCatalog:
    """Makes images of the store paths in ``contents``, by repository and tag; ``made`` counts them."""

    store: Path
    contents: Mapping[tuple[str, str], Sequence[str]]
    files: BlobFiles
    context: BuildContext = field(default_factory=BuildContext)
    compression: LayerCompression = field(default_factory=lambda: LayerCompression.parse("gzip"))
    made: list[str] = field(default_factory=list)

    def list_tags(self, repository: str) -> list[str] | None:
        return [tag for name, tag in self.contents if name == repository] or None

    def make(self, repository: str, tag: str) -> ServedImage:
        self.made.append(f"{repository}:{tag}")
        stream = lamina.stream_layered_image(
            store=str(self.store),
            contents=self.contents[repository, tag],
            name=repository,
            tag=tag,
            architecture="amd64",
        )
        return make_image([stream.draft], self.context, MakingSettings(self.compression, self.files), stream)


@contextmanager
def open_files(max_size: int = MAX_BLOBS) -> Iterator[BlobFiles]:
    files = BlobFiles(max_size, 2)
    try:
        yield files
    finally:
        files.close()


@dataclass
class RegistryAnswer:
    """An answer, read to its end."""

    status: int
    headers: dict[str, str]
    body: bytes

    @classmethod
    def read(cls, response: ServerResponse) -> RegistryAnswer:
        return cls(response.status, _to_dict(response.headers), b"".join(map(bytes, response.body)))


def _to_dict(headers: Headers) -> dict[str, str]:
    assert len({name.lower() for name, _ in headers}) == len(headers)
    return {name.lower(): value for name, value in headers}


@dataclass
class LocalClient:
    """Asks for paths without a network."""

    images: ImagesOnDemand

    def get(self, path: str, method: str = "GET", **headers: str) -> RegistryAnswer:
        """Send a request; ``if_none_match`` is the header ``If-None-Match``."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        target, _, query = path.partition("?")
        return RegistryAnswer.read(respond(ServerRequest(method, target, query, named), self.images))


def layers_of(manifest: Mapping[str, Any]) -> list[str]:
    return [layer["digest"] for layer in manifest["layers"]]
