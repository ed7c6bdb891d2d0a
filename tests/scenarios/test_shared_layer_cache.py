"""Several machines share a layer cache: in a bucket, in a folder, and where that does not work."""

import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.support.buckets import list_keys, serve_buckets
from tests.support.fake_nix_store import CompletedRun, FakeStore, example, lose_files, process, run
from tests.support.layer_cache import digest
from tests.support.registry import serve_registry
from tests.support.s3_server import S3Request, error_document, serve_s3, use_credentials
from tests.support.shared_layer_cache import DAMAGES, list_objects

import lamina
from lamina.layer_cache.encoding import dump_layer, make_layer_key, parse_layer
from lamina.layer_cache.objects import dump_object
from lamina.system.transfer import BlobInfo
from lamina.transports.retry import RetryPolicy, use_policy

_STORE_LAYERS = 4


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serve_buckets("cache") as address:
        yield address


@pytest.fixture
def bucket(server: str, request: pytest.FixtureRequest) -> str:
    """Return a new prefix of the bucket as a URL."""
    return f"s3://cache/{request.node.name.partition('[')[0]}?endpoint={server}&scheme=http&region=us-east-1"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeStore:
    use_credentials(monkeypatch, tmp_path)
    monkeypatch.chdir(tmp_path)
    return example(tmp_path / "root")[0]


@pytest.fixture
def build(store: FakeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., CompletedRun]:
    """Return a function that builds a layout on a machine; each machine has a cache folder of its own."""

    def build_on(machine: str, url: str, *flags: str) -> CompletedRun:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / machine))
        flags = ("--architecture", "amd64", "--layer-cache", url, "--layer-compression", "gzip", *flags)
        with use_policy(RetryPolicy(initial_delay=0.001, max_delay=0.002)):
            return run("build", "hello", "--store", store.root, *flags, "-o", "layout/")

    return build_on


def read_index() -> object:
    return json.loads(Path("layout/index.json").read_text())


@pytest.fixture(params=["bucket", "folder"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of a shared layer cache."""
    return str(request.getfixturevalue("bucket")) if request.param == "bucket" else (tmp_path / "shared").as_uri()


def test_another_machine_reads_no_layer_that_one_has_packed(
    build: Callable[..., CompletedRun], place: str, store: FakeStore
) -> None:
    first = build("first", place)
    index = read_index()
    lose_files(store)
    second = build("second", place)
    assert (first.code, second.code) == (0, 0), first.stderr + second.stderr
    assert second.stderr.count(" reused") > _STORE_LAYERS
    assert read_index() == index
    assert "warning" not in first.stderr + second.stderr
    assert build("third", "file").code == 5, "without the shared layer cache, the files are needed"


def test_another_machine_pushes_an_image_without_reading_a_layer(
    store: FakeStore, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve_registry() as registry:
        to = f"{registry.host}/hello:1"
        flags = ("--store", store.root, "--architecture", "amd64", "--no-cache-from", "--layer-cache", place)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "first"))
        first = run("push", "hello", *flags, "--to", to)
        assert first.code == 0, first.stderr
        lose_files(store)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "second"))
        second = run("push", "hello", *flags, "--to", to)
        assert second.code == 0, second.stderr
    assert second.stdout == first.stdout, "the digest is the same"


def test_two_processes_share_a_bucket_at_the_same_time(store: FakeStore, bucket: str, tmp_path: Path) -> None:
    flags = ("--store", store.root, "--architecture", "amd64", "--layer-compression", "gzip", "--layer-cache", bucket)
    with ExitStack() as stack:
        running = [
            stack.enter_context(
                process(
                    "build",
                    "hello",
                    *flags,
                    "-o",
                    f"{name}/",
                    env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / f"{name}-cache")},
                )
            )
            for name in ("first", "second")
        ]
        errors = [started.communicate(timeout=240)[1] for started in running]
    assert [started.returncode for started in running] == [0, 0], errors
    assert not any(b"warning" in error for error in errors), errors
    assert Path("first/index.json").read_bytes() == Path("second/index.json").read_bytes()
    lose_files(store)
    assert run("build", "hello", *flags, "-o", "first/").code == 0


def test_the_objects_are_below_the_prefix(build: Callable[..., CompletedRun], bucket: str, server: str) -> None:
    build("first", bucket)
    keys = [key.split("/") for key in list_keys(server, "cache") if "below_the_prefix" in key]
    assert {folder for _, folder, _ in keys} == {"layers", "compressed-layers"}
    assert len(keys) == 2 * _STORE_LAYERS + 1


def test_offline_no_request_is_sent(build: Callable[..., CompletedRun], store: FakeStore) -> None:
    with serve_s3(lambda request, _: request.answer(404)) as server:
        url = f"s3://cache?endpoint=127.0.0.1:{server.server_port}&scheme=http"
        ran = build("first", url, "--offline")
        assert not server.seen
    assert (ran.code, "warning" in ran.stderr) == (0, False), ran.stderr
    lose_files(store)
    assert build("first", url, "--offline").code == 0, "the local file is used"
    assert build("second", url, "--offline").code == 5


def test_a_folder_is_used_offline_too(build: Callable[..., CompletedRun], store: FakeStore, tmp_path: Path) -> None:
    url = (tmp_path / "shared").as_uri()
    build("first", url, "--offline")
    lose_files(store)
    assert build("second", url, "--offline").code == 0


def refuse_writing(request: S3Request, number: int) -> None:
    is_write = request.command == "PUT"
    request.answer(403 if is_write else 404, error_document("AccessDenied" if is_write else "NoSuchKey"))


def fail(request: S3Request, number: int) -> None:
    request.answer(500)


def hang_up(request: S3Request, number: int) -> None:
    request.close_connection = True


def deny(request: S3Request, number: int) -> None:
    request.answer(403, error_document("InvalidAccessKeyId"))


def have_no_bucket(request: S3Request, number: int) -> None:
    request.answer(404, error_document("NoSuchBucket"))


@pytest.mark.parametrize("answer", [refuse_writing, fail, hang_up, deny, have_no_bucket])
def test_a_bucket_that_fails_costs_one_warning(
    build: Callable[..., CompletedRun], answer: Callable[[S3Request, int], None]
) -> None:
    with serve_s3(answer) as server:
        ran = build("first", f"s3://cache/x?endpoint=127.0.0.1:{server.server_port}&scheme=http&secret-key=hunter2")
        assert server.seen
    assert ran.code == 0, ran.stderr
    assert ran.stderr.count("warning: ") == 1, ran.stderr
    assert ran.stderr.count(": continuing without ") == 1, ran.stderr
    assert "s3://cache/x" in ran.stderr
    assert "hunter" not in ran.stderr
    index = read_index()
    shutil.rmtree("layout")
    build("second", "file")
    assert read_index() == index


def test_a_bucket_that_does_not_answer_costs_one_warning(build: Callable[..., CompletedRun]) -> None:
    ran = build("first", "s3://cache?endpoint=127.0.0.1:9&scheme=http")
    assert ran.code == 0
    assert ran.stderr.count("warning: ") == 1, ran.stderr


@pytest.mark.parametrize("damage", [*DAMAGES.values(), lambda data: b""], ids=[*DAMAGES, "empty"])
def test_damaged_objects_never_change_an_image(
    build: Callable[..., CompletedRun], tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    url = (tmp_path / "shared").as_uri()
    build("first", url)
    index, objects = read_index(), list_objects(tmp_path / "shared")
    intact = [file.read_bytes() for file in objects]
    for file in objects:
        file.write_bytes(damage(file.read_bytes()))
    shutil.rmtree("layout")
    ran = build("second", url)
    assert ran.code == 0
    assert ran.stderr.count("warning: ") == (0 if damage(b"x" * 99) == b"" else 1), ran.stderr
    assert read_index() == index
    assert [file.read_bytes() for file in objects] == intact, "they are made again"


def test_exchanged_objects_never_change_an_image(build: Callable[..., CompletedRun], tmp_path: Path) -> None:
    url = (tmp_path / "shared").as_uri()
    build("first", url)
    index, objects = read_index(), list_objects(tmp_path / "shared")
    contents = [file.read_bytes() for file in objects]
    for file, content in zip(objects, contents[1:] + contents[:1], strict=True):
        file.write_bytes(content)
    shutil.rmtree("layout")
    assert build("second", url).stderr.count("warning: ") == 1
    assert read_index() == index


def test_verify_removes_a_wrong_entry_for_all_machines(
    build: Callable[..., CompletedRun], store: FakeStore, tmp_path: Path
) -> None:
    """A layer cache believes who may write to it; --verify does not."""
    url = (tmp_path / "shared").as_uri()
    build("first", url)
    index = read_index()
    _forge_layer(tmp_path / "shared")
    shutil.rmtree("layout")
    ran = build("second", url, "--verify")
    assert ran.code == 6, ran.stderr
    shutil.rmtree("layout", ignore_errors=True)
    assert build("third", url).code == 0
    assert read_index() == index


def _forge_layer(folder: Path) -> None:
    """Replace an entry by one with a right checksum and a wrong digest."""
    file = list_objects(folder / "layers")[0]
    inputs, blob_info = parse_layer(file.read_bytes()[28 + 32 :])
    wrong = BlobInfo(digest("wrong"), blob_info.size)
    file.write_bytes(dump_object(make_layer_key(inputs.key), dump_layer(inputs, wrong)))


def test_python_needs_no_local_file(store: FakeStore, place: str, tmp_path: Path) -> None:
    arguments: Any = {"contents": ["hello"], "store": [str(store.root)], "architecture": "amd64", "layer_cache": place}
    first = lamina.build_layered_image(output="layout/", **arguments)
    lose_files(store)
    second = lamina.build_layered_image(output="layout/", local_layer_cache=tmp_path / "local", **arguments)
    assert first.id == second.id
    assert (first.warnings, second.warnings) == ((), ())
    assert (tmp_path / "local").is_file()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://example.com/cache", "https://, which is read-only"),
        ("ftp://example.com", "no known scheme"),
        ("s3://", "no bucket"),
        ("s3://bucket?color=red", "the setting 'color'"),
        ("file://host/folder", "no folder"),
    ],
)
def test_a_url_that_cannot_be_a_layer_cache_is_refused(
    build: Callable[..., CompletedRun], url: str, expected: str
) -> None:
    ran = build("first", url)
    assert ran.code == 2
    assert ran.stderr.startswith(f"lamina: --layer-cache: got {expected}"), ran.stderr


def test_random_objects_never_change_an_image(build: Callable[..., CompletedRun], tmp_path: Path) -> None:
    url, random_bytes = (tmp_path / "shared").as_uri(), random.Random(16)
    build("first", url)
    index = read_index()
    for number in range(5):
        for file in list_objects(tmp_path / "shared"):
            data = bytearray(file.read_bytes())
            data[random_bytes.randrange(len(data))] ^= 1 << random_bytes.randrange(8)
            file.write_bytes(data)
        shutil.rmtree("layout")
        assert build(f"machine-{number}", url).code == 0
        assert read_index() == index
