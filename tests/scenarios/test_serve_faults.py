"""`lamina serve` while its sources fail: no wrong bytes, and the next request works again."""

from __future__ import annotations

import hashlib
import http.client
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from tests.support import factories
from tests.support.binary_cache import KEY, Cache, CacheServer, cut_short, serve_cache
from tests.support.processes import wait_until
from tests.support.serving import Serving, serve

SIZE = 8 << 20


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[CacheServer]:
    """A binary cache of the package ``large``, whose layer is larger than what a server sends at once."""
    made = Cache(tmp_path / "cache", compression="none")
    made.add("large-1", {b"data": factories.File(os.urandom(SIZE))})
    with serve_cache(made.folder) as server:
        yield server


@contextmanager
def serve_cached(cache: CacheServer, folder: Path, layer_cache: Path) -> Iterator[Serving]:
    """Run a server that has nothing of the cache yet, with a layer cache that may know its layers."""
    own = {name: str(folder / name) for name in ("TMPDIR", "XDG_CACHE_HOME", "XDG_DATA_HOME")}
    for place in own.values():
        Path(place).mkdir(parents=True)
    names = folder / "names"
    names.write_text("".join(f"{path}\n" for path in list_paths(cache)))
    arguments = ("--store", cache.url, "--trusted-key", str(KEY.public), "--channel", names)
    environment = {**own, "no_proxy": "*"}
    with serve(folder, *arguments, layer_cache=str(layer_cache), environment=environment) as server:
        yield server


def list_paths(cache: CacheServer) -> list[str]:
    texts = [file.read_text() for file in cache.folder.glob("*.narinfo")]
    return [line.removeprefix("StorePath: ") for text in texts for line in text.splitlines() if "StorePath: " in line]


def find_largest(server: Serving) -> tuple[str, int]:
    """Return the path and the size of the largest blob of the image."""
    layers = server.get_json("/v2/large/manifests/latest")["layers"]
    largest = max(layers, key=lambda layer: int(layer["size"]))
    return f"/v2/large/blobs/{largest['digest']}", int(largest["size"])


def get_part(server: Serving, path: str) -> tuple[int, bytes, bool]:
    """Return the status and what came of a blob, and whether it was all of it as HTTP says."""
    host, _, port = server.address.partition(":")
    with closing(http.client.HTTPConnection(host, int(port), timeout=60)) as connection:
        connection.request("GET", path)
        response = connection.getresponse()
        try:
            return response.status, response.read(), True
        except http.client.IncompleteRead as broken:
            return response.status, broken.partial, False


def test_a_cache_that_goes_away_within_a_blob_gives_no_short_one_and_the_next_pull_works(
    cache: CacheServer, tmp_path: Path
) -> None:
    layers = tmp_path / "layers.sqlite"
    with serve_cached(cache, tmp_path / "first", layers) as server:
        path, size = find_largest(server)
        right = server.get(path).body
        assert len(right) == size
    with serve_cached(cache, tmp_path / "second", layers) as server:
        (nar,) = (cache.folder / "nar").iterdir()
        content = nar.read_bytes()
        for sent in (content[:-1], content[: SIZE // 2] + bytes(SIZE)):
            cache.scripts["nar/.*"] = cut_short(sent, len(content))
            status, received, is_complete = get_part(server, path)
            assert not (status == 200 and is_complete)
            assert right.startswith(received) or status != 200
        wait_until(lambda: len(server.read_log()) >= 2)
        assert all(line.get("problem") for line in server.read_log())
        cache.scripts.clear()
        assert find_largest(server) == (path, size)
        status, received, is_complete = get_part(server, path)
        assert (status, is_complete) == (200, True)
        assert hashlib.sha256(received).digest() == hashlib.sha256(right).digest()
