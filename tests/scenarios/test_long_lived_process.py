"""A process that makes many images keeps flat memory, threads and descriptors."""

import gc
import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support import factories
from tests.support.binary_cache import KEY, Cache, serve_cache
from tests.support.examples import mark_rest, scale

import lamina

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")

# In bytes. The allocator of the C library keeps some pages more after some runs than after others.
_MAX_GROWTH = 3 << 20
_PAGE = os.sysconf("SC_PAGE_SIZE")


def _measure() -> dict[str, Any]:
    gc.collect()
    return {
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "memory": int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE,
    }


def make_images(count: int, folder: str, compressor: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Make ``count`` images in this process; return its memory, threads and files after a tenth, and at the end."""
    early: dict[str, Any] = {}
    for number in range(count):
        if number == count // 10:
            early = _measure()
        layer_cache = f"{folder}/layer-cache.sqlite" if number % 2 else None
        with lamina.stream_layered_image(layer_cache=layer_cache, **arguments) as stream:
            match number % 3:
                case 0:
                    stream.write_to(io.BytesIO(), compressor=compressor)
                case 1:
                    stream.build(f"{folder}/image.tar", compressor=compressor)
                case 2:
                    stream.build(f"{folder}/layout/")
    return {"early": early, "late": _measure(), "files": sorted(os.listdir(os.environ["TMPDIR"]))}


def _run(tmp_path: Path, count: int, arguments: dict[str, Any], compressor: str = "none") -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir(exist_ok=True)
    code = (
        "import json, sys\nfrom tests.scenarios.test_long_lived_process import make_images\n"
        "print(json.dumps(make_images(*json.loads(sys.argv[1]))))"
    )
    command = [sys.executable, "-c", code, json.dumps([count, str(tmp_path), compressor, arguments])]
    environment = {**os.environ, "TMPDIR": str(temporary), "HOME": str(tmp_path)}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    early, late = found["early"], found["late"]
    assert late["threads"] == early["threads"] == ["MainThread"]
    assert late["descriptors"] == early["descriptors"]
    assert late["memory"] - early["memory"] < _MAX_GROWTH
    assert found["files"] == []


def _list_threads(before: set[threading.Thread]) -> list[str]:
    """Return the names of the threads that lamina has started in this process, other than those ``before``."""
    return [one.name for one in threading.enumerate() if one.name.startswith("lamina") and one not in before]


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def roots(cache: Cache) -> list[str]:
    library = cache.add("library-1", {b"lib": {b"a": factories.File(b"x" * 1000)}})
    return [str(cache.add("tool-1", {b"bin": {b"tool": factories.File(str(library).encode())}}))]


@pytest.mark.integration
def test_a_thousand_images_of_a_local_store(cache: Cache, roots: list[str], tmp_path: Path) -> None:
    disk = cache.on_disk(tmp_path / "root")
    _run(tmp_path, scale(1000), {"contents": roots, "store": str(disk.root)})


def _use_files(cache: Cache, url: str) -> dict[str, Any]:
    return {"store": cache.url}


def _use_server(cache: Cache, url: str) -> dict[str, Any]:
    return {"store": url}


def _use_embedded_store(cache: Cache, url: str) -> dict[str, Any]:
    return {"store": url, "embedded_store": str(cache.folder.parent / "embedded")}


@pytest.mark.parametrize("use", mark_rest([_use_server, _use_files, _use_embedded_store], 1))
def test_many_images_of_binary_caches(
    use: Callable[[Cache, str], dict[str, Any]], cache: Cache, roots: list[str], tmp_path: Path
) -> None:
    with serve_cache(cache.folder) as server:
        _run(tmp_path, 50, {"contents": roots, "trusted_keys": [str(KEY.public)], **use(cache, server.url)}, "gz")


def test_many_images_with_scripts_and_a_base_image(cache: Cache, roots: list[str], tmp_path: Path) -> None:
    disk = cache.on_disk(tmp_path / "root")
    arguments = {"contents": roots, "store": str(disk.root)}
    lamina.build_layered_image(output=tmp_path / "base.tar.gz", layer_cache=None, **arguments)  # type: ignore[arg-type]
    _run(tmp_path, 20, {**arguments, "from_image": str(tmp_path / "base.tar.gz"), "name": "image"})


def test_an_image_that_nobody_closes_is_closed_when_nobody_refers_to_it(
    cache: Cache, roots: list[str], tmp_path: Path
) -> None:
    before = set(threading.enumerate())
    with serve_cache(cache.folder) as server:
        arguments = {"contents": roots, "store": server.url, "trusted_keys": [str(KEY.public)], "layer_cache": None}
        stream = lamina.stream_layered_image(**arguments)  # type: ignore[arg-type]
        stream.write_to(io.BytesIO())
        assert _list_threads(before).count("lamina-fetch") > 0
        del stream
    assert _list_threads(before) == []
