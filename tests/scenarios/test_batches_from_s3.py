"""A batch whose binary cache, layer cache and blob cache are buckets, while S3 asks for fewer requests (HTTP 503)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.binary_cache import KEY, Cache
from tests.support.buckets import make_client, serve_buckets
from tests.support.cached_applications import IMAGES, add_applications
from tests.support.fault_proxy import ChooseFault, FaultProxy, ProxyFault, serve_faults
from tests.support.s3_server import error_document, use_credentials

from lamina.api.batch import batch_tables
from lamina.api.batch_options import BatchOptions, parse_destination
from lamina.core.names import StorePath
from lamina.errors import Error
from lamina.fleet.results import BatchProgress, BatchResult
from lamina.fleet.task_runner import RetryRules
from lamina.fleet.where import LocalWorkers

READ_NAR = "GET /cache/nar/"
READ_LAYER_CACHE, WRITE_LAYER_CACHE = "GET /state/layers", "PUT /state/layers"
READ_BLOB_CACHE, WRITE_BLOB_CACHE = "(GET|HEAD) /state/blobs", "PUT /state/blobs"
CACHES = [READ_LAYER_CACHE, WRITE_LAYER_CACHE, READ_BLOB_CACHE, WRITE_BLOB_CACHE]


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", compression="none")


@pytest.fixture
def paths(cache: Cache) -> dict[str, StorePath]:
    return add_applications(cache)


@pytest.fixture
def s3(
    cache: Cache, paths: dict[str, StorePath], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FaultProxy]:
    """A proxy in front of a server that has the binary cache in a bucket, and an empty bucket."""
    use_credentials(monkeypatch, tmp_path)
    with serve_buckets("cache", "state") as address:
        client = make_client(address)
        for file in cache.folder.rglob("*"):
            if file.is_file():
                client.put_object(Bucket="cache", Key=str(file.relative_to(cache.folder)), Body=file.read_bytes())
        with serve_faults(address) as proxy:
            proxy.retry_after = 0
            proxy.document = error_document("SlowDown")
            yield proxy


class Recorder(BatchProgress):
    """Remembers what is tried again."""

    def __init__(self) -> None:
        self.retried: list[str] = []

    def retry(self, subject: str, error: BaseException) -> None:
        self.retried.append(subject)


def run(
    s3: FaultProxy, paths: dict[str, StorePath], folder: Path, recorder: Recorder | None = None
) -> tuple[BatchResult, Recorder]:
    query = f"?endpoint={s3.address}&scheme=http&region=us-east-1"
    common: Any = {
        "store": f"s3://cache{query}",
        "trusted_keys": [str(KEY.public)],
        "architecture": "amd64",
        "tag": "1",
        "max_layers": 20,
        "layer_compression": "gzip",
        "layer_cache": f"s3://state/layers{query}",
        "local_layer_cache": str(folder.with_suffix(".sqlite")),
        "blob_cache": f"s3://state/blobs{query}",
        "local_blob_cache": str(folder.with_suffix(".blobs")),
    }
    recorder = recorder or Recorder()
    options = BatchOptions(
        parse_destination(None, folder), LocalWorkers(2), progress=recorder, rules=RetryRules(delays=(0.0,))
    )
    tables: Any = {name: {"contents": [str(paths[name])], **common} for name in IMAGES}
    return batch_tables(tables, options), recorder


def fail(s3: FaultProxy, requests: str, choose: ChooseFault) -> None:
    """Let requests fail whose method and path begin with the pattern ``requests``."""
    s3.concerns = lambda method, path: re.match(requests, f"{method} {path}") is not None
    s3.choose_fault = choose


def forever(number: int) -> ProxyFault:
    return ProxyFault.UNAVAILABLE


def digests(result: BatchResult) -> dict[str, str]:
    assert not result.failed, [str(image.error) for image in result.failed]
    return {image.name: str(image.digest) for image in result.images}


@pytest.fixture
def expected(cache: Cache, paths: dict[str, StorePath], s3: FaultProxy, tmp_path: Path) -> dict[str, str]:
    """The digests of the images when nothing fails. The bucket of the caches is empty again."""
    found = digests(run(s3, paths, tmp_path / "expected")[0])
    client = make_client(":".join(map(str, s3.target)))
    listed = client.list_objects_v2(Bucket="state")["Contents"]
    assert {item["Key"].split("/")[0] for item in listed} == {"layers", "blobs"}
    for item in listed:
        client.delete_object(Bucket="state", Key=item["Key"])
    return found


def test_a_bucket_that_fails_for_a_moment_costs_only_time(
    s3: FaultProxy, paths: dict[str, StorePath], expected: dict[str, str], tmp_path: Path
) -> None:
    fail(s3, f"{READ_NAR}|{'|'.join(CACHES)}", lambda number: ProxyFault.UNAVAILABLE if number % 4 == 1 else None)
    result, recorder = run(s3, paths, tmp_path / "batch")
    assert digests(result) == expected
    failed = {exchange.path.split("/")[1] for exchange in s3.exchanges if exchange.fault}
    assert failed == {"cache", "state"}
    assert recorder.retried == []


def test_a_layer_is_tried_again_when_reading_a_nar_failed_for_longer_than_its_requests_are_repeated(
    s3: FaultProxy, paths: dict[str, StorePath], expected: dict[str, str], tmp_path: Path
) -> None:
    recorder = Recorder()
    fail(s3, f"GET {find_nar(s3, paths)}", lambda number: None if recorder.retried else ProxyFault.UNAVAILABLE)
    result, _ = run(s3, paths, tmp_path / "batch", recorder)
    assert digests(result) == expected
    assert recorder.retried == ["layer log-1"]


def find_nar(s3: FaultProxy, paths: dict[str, StorePath]) -> str:
    """Return the path of the NAR of a library that only the image job needs, and that only a worker reads."""
    client = make_client(":".join(map(str, s3.target)))
    name = str(paths["log"]).split("/")[3].partition("-")[0]
    narinfo: str = client.get_object(Bucket="cache", Key=f"{name}.narinfo")["Body"].read().decode()
    return f"/cache/{re.findall('^URL: (.*)$', narinfo, re.MULTILINE)[0]}"


def test_a_nar_that_cannot_be_read_for_good_fails_the_images_that_need_it(
    s3: FaultProxy, paths: dict[str, StorePath], expected: dict[str, str], tmp_path: Path
) -> None:
    fail(s3, f"GET {find_nar(s3, paths)}", forever)
    result, recorder = run(s3, paths, tmp_path / "batch")
    assert [image.name for image in result.failed] == ["job"]
    assert {image.name: str(image.digest) for image in result.images if image.digest} == {
        name: digest for name, digest in expected.items() if name != "job"
    }
    (error,) = (image.error for image in result.failed)
    assert isinstance(error, Error)
    assert "HTTP 503 (SlowDown) 5 times in a row" in str(error)
    assert "s3://cache" in str(error)
    assert recorder.retried == ["layer log-1", "layer log-1"]


@pytest.mark.parametrize("requests", CACHES, ids=["read-layers", "write-layers", "read-blobs", "write-blobs"])
def test_a_cache_that_fails_for_good_costs_a_warning_and_the_images_are_right(
    s3: FaultProxy, paths: dict[str, StorePath], expected: dict[str, str], tmp_path: Path, requests: str
) -> None:
    if requests == READ_BLOB_CACHE:  # only blobs of known layers are looked for there
        run(s3, paths, tmp_path / "first")
        (tmp_path / "batch.sqlite").write_bytes((tmp_path / "first.sqlite").read_bytes())
    fail(s3, requests, forever)
    result, recorder = run(s3, paths, tmp_path / "batch")
    assert digests(result) == expected
    assert recorder.retried == []
    place = "layer" if "layers" in requests else "blob"
    (warning, *more) = [text for text in result.warnings if f"the shared {place} cache" in text]
    assert len(more) <= 2, "each process says it once"
    assert "s3://state" in warning
    assert "HTTP 503" in warning
