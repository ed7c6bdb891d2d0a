"""A batch whose workers read store paths from a binary cache, which fails or lacks a path."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tests.support.binary_cache import KEY, Cache, serve_cache
from tests.support.cached_applications import IMAGES, add_applications
from tests.support.fault_proxy import ProxyFault, fail_every, serve_faults
from tests.support.servers import LocalServer, run_server

import lamina
from lamina.core.names import StorePath
from lamina.errors import IntegrityError, StoreError


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", compression="none")


@pytest.fixture
def paths(cache: Cache) -> dict[str, StorePath]:
    return add_applications(cache)


def run(url: str, paths: dict[str, StorePath], folder: Path, **arguments: Any) -> lamina.BatchResult:
    tables: Any = {name: {"contents": [str(paths[name])]} for name in IMAGES}
    key = str(KEY.public)
    return lamina.batch(
        tables, output=folder, on="local:2", store=url, trusted_keys=[key], tag="1", architecture="amd64", **arguments
    )


@pytest.fixture
def url(cache: Cache) -> Iterator[str]:
    with serve_cache(cache.folder) as server:
        yield server.url


def test_workers_fetch_what_they_pack(url: str, paths: dict[str, StorePath], tmp_path: Path) -> None:
    result = run(url, paths, tmp_path / "batch")
    assert not result.failed
    assert result.layers_made == len(result.layers) >= 3
    expected = run(f"file://{tmp_path}/cache", paths, tmp_path / "other")
    assert [image.digest for image in result.images] == [image.digest for image in expected.images]


class _SlowContents(http.server.SimpleHTTPRequestHandler):
    """Answers requests for the files ``late`` once somebody asked for ``first``; ``in_vain`` gets those that waited."""

    late: frozenset[str]
    first: str
    is_asked: threading.Event
    in_vain: ClassVar[list[str]]

    def do_GET(self) -> None:
        name = self.path.removeprefix("/")
        if name == self.first:
            self.is_asked.set()
        if name in self.late and not self.is_asked.wait(10):
            self.in_vain.append(name)
            self.is_asked.set()
        super().do_GET()

    def log_message(self, *arguments: object) -> None:
        pass


def test_workers_begin_while_the_contents_are_downloaded(
    cache: Cache, paths: dict[str, StorePath], tmp_path: Path
) -> None:
    class Files(_SlowContents):
        late = frozenset(cache.narinfos[paths[name]].url for name in IMAGES)
        first = cache.narinfos[paths["base"]].url
        is_asked = threading.Event()
        in_vain: ClassVar[list[str]] = []

    handler: Any = partial(Files, directory=str(cache.folder))
    with run_server(LocalServer(handler)) as server:
        result = run(f"http://127.0.0.1:{server.server_port}", paths, tmp_path / "batch", max_layers=20)
    assert Files.in_vain == []
    assert not result.failed
    assert result.layers_made == len(result.layers)


@pytest.mark.parametrize("fault", [ProxyFault.UNAVAILABLE, ProxyFault.SERVER_ERROR, ProxyFault.CUT_IN_RESPONSE])
def test_a_cache_that_fails_for_a_moment_costs_only_time(
    fault: ProxyFault, url: str, paths: dict[str, StorePath], tmp_path: Path
) -> None:
    expected = run(url, paths, tmp_path / "expected")
    with serve_faults(url.removeprefix("http://"), fail_every(4, 1, (fault,))) as proxy:
        result = run(f"http://{proxy.address}", paths, tmp_path / "batch")
        assert any(exchange.fault for exchange in proxy.exchanges)
    assert not result.failed
    assert [image.digest for image in result.images] == [image.digest for image in expected.images]


def test_a_cache_without_one_path_fails_the_images_that_need_it(
    cache: Cache, url: str, paths: dict[str, StorePath], tmp_path: Path
) -> None:
    (cache.folder / cache.narinfos[paths["log"]].url).unlink()
    result = run(url, paths, tmp_path / "batch", max_layers=20)
    assert [image.name for image in result.failed] == ["job"]
    (failed,) = result.failed
    assert isinstance(failed.error, StoreError)
    assert str(paths["log"]) in str(failed.error)
    assert {image.name for image in result.images if image.digest} == {"web", "api"}


def test_a_path_that_does_not_match_its_narinfo_is_in_no_image(
    cache: Cache, url: str, paths: dict[str, StorePath], tmp_path: Path
) -> None:
    file = cache.folder / cache.narinfos[paths["log"]].url
    file.write_bytes(file.read_bytes().replace(b"loglog", b"evil!!", 1))
    result = run(url, paths, tmp_path / "batch", max_layers=20)
    assert [(image.name, type(image.error)) for image in result.failed] == [("job", IntegrityError)]
