"""Two batches of the same spec file that run at the same time: no layer is wrong, and few are made twice."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from tests.support.buckets import make_client, serve_buckets
from tests.support.fake_nix_store import FakeStore, process
from tests.support.registry import RegistryHandler, serve_registry
from tests.support.s3_server import use_credentials

from lamina.layer_cache.encoding import CLAIM

_LIBRARIES, _IMAGES, _WORKERS = 40, 10, 2


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A spec file of images that have many small layers, most of which several images have."""
    use_credentials(monkeypatch, tmp_path)
    store, chance = FakeStore(tmp_path / "root"), random.Random(17)
    libraries = [store.add(f"lib{number}-1", {"lib": chance.randbytes(20_000)}) for number in range(_LIBRARIES)]
    tables = {}
    for number in range(_IMAGES):
        path = store.add(f"app{number}-1", {"run": b"x" * 100}, chance.sample(libraries, 15))
        tables[f"app{number}"] = {"contents": [str(path)], "architecture": "amd64", "store": str(store.root)}
    file = tmp_path / "lamina.json"
    file.write_text(json.dumps(tables))
    return file


@pytest.fixture(params=["file", "bucket"])
def layer_cache(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "file":
        yield str(tmp_path / "layers.sqlite")
        return
    with serve_buckets("layers") as address:
        yield f"s3://layers?endpoint={address}&scheme=http&region=us-east-1"


def start(spec: Path, to: str, layer_cache: str, machine: str) -> subprocess.Popen[bytes]:
    """Start a batch on a machine that has a cache folder of its own."""
    options = ("--on", f"local:{_WORKERS}", "--max-layers", "60", "--layer-cache", layer_cache, "--json")
    environment = {**os.environ, "XDG_CACHE_HOME": str(spec.parent / machine)}
    return process("batch", spec, "--to", to, *options, env=environment)


def finish(running: subprocess.Popen[bytes]) -> dict[str, Any]:
    stdout, stderr = running.communicate(timeout=240)
    assert running.returncode == 0, stderr
    document: dict[str, Any] = json.loads(stdout)
    return document


def read_digests(document: dict[str, Any]) -> dict[str, str]:
    return {image["name"]: image["digest"] for image in document["images"]}


def test_two_batches_of_one_spec_file_make_few_layers_twice(spec: Path, layer_cache: str, tmp_path: Path) -> None:
    with serve_registry() as alone:
        expected = finish(start(spec, f"{alone.host}/team", str(tmp_path / "alone.sqlite"), "alone"))
    with serve_registry() as registry, ExitStack() as stack:
        started = [
            stack.enter_context(start(spec, f"{registry.host}/team", layer_cache, machine))
            for machine in ("first", "second")
        ]
        documents = [finish(running) for running in started]
    layers = {layer["diff_id"] for layer in expected["layers"]}
    assert len(layers) > _LIBRARIES
    for document in documents:
        assert read_digests(document) == read_digests(expected)
        assert {layer["diff_id"] for layer in document["layers"]} == layers
    made = [layer["diff_id"] for document in documents for layer in document["layers"] if layer["outcome"] == "made"]
    # A claim may end before its layer is made, on a very slow machine. Without claims, 30 to 35 were made twice.
    assert len(made) - len(layers) <= 3


def count_claims(layer_cache: str) -> int:
    """Return how many layers are claimed."""
    if not layer_cache.startswith("s3:"):
        with closing(sqlite3.connect(layer_cache)) as database:
            (count,) = database.execute("SELECT count(*) FROM entries WHERE substr(key, 1, 6) = ?", (CLAIM,)).fetchone()
            return int(count)
    endpoint = layer_cache.partition("endpoint=")[2].partition("&")[0]
    listed = make_client(endpoint).list_objects_v2(Bucket="layers", Prefix="claims/").get("Contents", [])
    return sum(each["Size"] > 0 for each in listed)


def test_a_batch_that_is_interrupted_leaves_no_claims(spec: Path, layer_cache: str) -> None:
    is_sending, may_go_on = Event(), Event()

    def wait(handler: RegistryHandler) -> bool:
        is_sending.set()
        may_go_on.wait(60)
        return handler.cut()

    with serve_registry() as registry:
        registry.fail("POST", "/v2/team/", wait, times=_WORKERS)
        with start(spec, f"{registry.host}/team", layer_cache, "first") as running:
            assert is_sending.wait(60)
            assert count_claims(layer_cache) > 0
            running.send_signal(signal.SIGINT)
            _, stderr = running.communicate(timeout=60)
            may_go_on.set()
        assert running.returncode == 130, stderr
    assert count_claims(layer_cache) == 0
