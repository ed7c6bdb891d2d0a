"""Many images in one batch: the same images as by `lamina push` and `lamina build`, with every layer made once."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.support.fake_nix_store import FakeStore
from tests.support.registry import MemoryRegistry, answer_with, serve_registry

import lamina
from lamina.api.batch import batch_tables
from lamina.api.batch_options import BatchOptions, parse_destination
from lamina.errors import AuthError, InvalidArgument, NotFound, RegistryError
from lamina.fleet.blob_homes import LayoutHome
from lamina.fleet.destinations import LayoutFolder
from lamina.fleet.results import FAILED, MADE, BatchImage, BatchLayer, BatchProgress, BatchResult
from lamina.fleet.task_runner import RetryRules
from lamina.fleet.where import LocalWorkers
from lamina.transports.retry import RetryPolicy

APPLICATIONS = {"web": ("log", "http"), "api": ("log", "http"), "job": ("log",)}


@pytest.fixture
def store(tmp_path: Path) -> FakeStore:
    """A store with three applications, which share two libraries and the path below them."""
    made = FakeStore(tmp_path / "root")
    base = made.add("base-1", {"lib": bytes(range(256)) * 300})
    libraries = {name: made.add(f"{name}-1", {"lib": name.encode() * 20_000}, [base]) for name in ("log", "http")}
    made.add("bash-5", {"bin": {"bash": b"#!"}})
    for name, needed in APPLICATIONS.items():
        made.add(f"{name}-1", {name: name.encode() * 3000}, [libraries[each] for each in needed])
    return made


@pytest.fixture
def registry() -> Iterator[MemoryRegistry]:
    with serve_registry() as server:
        yield server


def describe(store: FakeStore, *names: str, **arguments: Any) -> dict[str, Any]:
    common = {"store": str(store.root), "tag": "1", **arguments}
    return {name: {"contents": [name], "name": name, **common} for name in names or APPLICATIONS}


class Recorder(BatchProgress):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.layers: list[BatchLayer] = []
        self.images: list[BatchImage] = []
        self.retried: list[str] = []

    def layer(self, layer: BatchLayer) -> None:
        self.layers.append(layer)

    def image(self, image: BatchImage) -> None:
        self.images.append(image)

    def retry(self, subject: str, error: BaseException) -> None:
        self.retried.append(subject)


def run(
    tables: dict[str, Any], to: str | None = None, output: Path | None = None, **options: Any
) -> tuple[BatchResult, Recorder]:
    recorder = Recorder()
    rules = RetryRules(delays=(0.0,))
    chosen = BatchOptions(parse_destination(to, output), LocalWorkers(2), progress=recorder, rules=rules, **options)
    return batch_tables(tables, chosen), recorder


def digests(result: BatchResult) -> dict[str, str]:
    assert not result.failed, [str(image.error) for image in result.failed]
    return {image.name: str(image.digest) for image in result.images}


def count_uploads(registry: MemoryRegistry) -> Counter[str]:
    """Return how often each blob was sent, by its digest."""
    sent = (request.path.partition("digest=")[2] for request in registry.seen if request.method == "PUT")
    return Counter(digest.replace("%3A", ":") for digest in sent if digest)


def test_a_batch_pushes_the_images_that_a_push_gives(store: FakeStore, registry: MemoryRegistry) -> None:
    tables = describe(store)
    result, _ = run(tables, f"{registry.host}/batch")
    siblings = {name: {**table, "layering": "shared"} for name, table in tables.items()}
    alone = {
        name: str(
            lamina.push_layered_image(
                to=f"{registry.host}/alone/{name}:1", **{**table, "layering": "shared"}, siblings=siblings
            ).manifest_digest
        )
        for name, table in tables.items()
    }
    assert digests(result) == alone
    stored = {name: registry.manifests[f"batch/{name}"]["1"] for name in tables}
    assert stored == {name: registry.manifests[f"alone/{name}"]["1"] for name in tables}


def test_every_layer_is_made_and_sent_once(store: FakeStore, registry: MemoryRegistry) -> None:
    result, recorder = run(describe(store), f"{registry.host}/batch")
    digests(result)
    assert set(count_uploads(registry).values()) == {1}
    assert len(recorder.layers) == len({layer.key for layer in recorder.layers}) == result.layers_made
    assert result.blobs_mounted > 0
    assert result.bytes_saved > 0
    assert Counter(image.name for image in recorder.images) == Counter({*APPLICATIONS})


def test_a_registry_that_mounts_nothing_gets_copies_and_no_layer_is_made_twice(
    store: FakeStore, registry: MemoryRegistry
) -> None:
    registry.can_mount = False
    result, recorder = run(describe(store), f"{registry.host}/batch")
    digests(result)
    assert len(recorder.layers) == len({layer.key for layer in recorder.layers}) == result.layers_made
    assert result.blobs_mounted == 0


def test_a_layout_gets_the_images_that_a_build_gives(store: FakeStore, tmp_path: Path) -> None:
    result, _ = run(describe(store), output=tmp_path / "batch")
    ids = {image.name: image.images[0].id for image in result.images}
    tables = describe(store, layering="shared")
    built = {
        name: lamina.build_layered_image(output=f"{tmp_path}/alone/", **table, siblings=tables)
        for name, table in tables.items()
    }
    assert ids == {name: image.id for name, image in built.items()}
    assert digests(result) == {name: str(image.manifest_digest) for name, image in built.items()}
    assert {file.name for file in (tmp_path / "batch/blobs/sha256").iterdir()} == {
        file.name for file in (tmp_path / "alone/blobs/sha256").iterdir()
    }


def test_a_layout_of_this_machine_alone_has_all_layers_and_a_warning(store: FakeStore, tmp_path: Path) -> None:
    @dataclass(frozen=True, slots=True)
    class FolderOfAnotherMachine(LayoutFolder):
        def find_home(self, repository: str, *, insecure: bool = False) -> LayoutHome:
            return LayoutHome(str(tmp_path / "another"))

    options = BatchOptions(FolderOfAnotherMachine(tmp_path / "images"), LocalWorkers(1))
    result = batch_tables(describe(store, "web"), options)
    assert digests(result) == {"web": str(lamina.inspect(tmp_path / "images")[0].manifest_digest)}
    assert any("use a folder that all machines share" in text for text in result.images[0].warnings)


def test_a_second_batch_makes_no_layer(store: FakeStore, registry: MemoryRegistry, tmp_path: Path) -> None:
    tables = describe(store, layer_cache=str(tmp_path / "layers.sqlite"))
    first, _ = run(tables, f"{registry.host}/batch")
    before = len(registry.seen)
    second, _ = run(tables, f"{registry.host}/batch")
    assert (second.layers_made, second.layers_reused) == (0, first.layers_made)
    assert digests(second) == digests(first)
    assert not [request for request in registry.seen[before:] if request.method == "PATCH"]
    assert second.bytes_sent == 0


def test_layers_that_an_earlier_batch_sent_for_other_images_are_mounted_into_a_new_first_image(
    store: FakeStore, registry: MemoryRegistry, tmp_path: Path
) -> None:
    tables = describe(store, layer_cache=str(tmp_path / "layers.sqlite"), layering="cost")
    first, _ = run({name: tables[name] for name in ("web", "api")}, f"{registry.host}/batch")
    second, _ = run({name: tables[name] for name in ("job", "web", "api")}, f"{registry.host}/batch")
    assert digests(second) | digests(first) == digests(second)
    assert {layer.names: layer.outcome for layer in second.layers if layer.outcome == MADE} == {("job-1",): MADE}
    assert second.blobs_mounted > 0


def test_a_repository_that_refuses_the_credentials_fails_its_image_alone_though_its_layers_are_known(
    store: FakeStore, registry: MemoryRegistry, tmp_path: Path
) -> None:
    tables = describe(store, layer_cache=str(tmp_path / "layers.sqlite"))
    run(tables, f"{registry.host}/batch")
    registry.fail("HEAD", "/v2/batch/job/", answer_with(403), times=10_000)
    result, _ = run(tables, f"{registry.host}/batch")
    assert [(image.name, type(image.error)) for image in result.failed] == [("job", AuthError)]


def test_images_with_different_layer_caches_give_a_warning(store: FakeStore, tmp_path: Path) -> None:
    tables = {name: describe(store, name, layer_cache=str(tmp_path / name))[name] for name in ("web", "api")}
    result, _ = run(tables, output=tmp_path / "images")
    assert [text for text in result.warnings if "different caches" in text and "image web" in text]
    alike, _ = run(describe(store, layer_cache=str(tmp_path / "web")), output=tmp_path / "images")
    assert not [text for text in alike.warnings if "different caches" in text]


def test_an_image_whose_path_is_missing_fails_and_the_others_are_done(
    store: FakeStore, registry: MemoryRegistry
) -> None:
    tables = describe(store) | describe(store, "nothing")
    result, recorder = run(tables, f"{registry.host}/batch")
    assert [image.name for image in result.failed] == ["nothing"]
    (failed,) = result.failed
    assert isinstance(failed.error, NotFound)
    assert "nothing" in str(failed.error)
    assert {image.name for image in result.images if image.digest} == set(APPLICATIONS)
    assert recorder.images[0].name == "nothing"


def test_an_image_is_called_as_its_table_though_its_package_has_a_name_that_no_image_can_have(
    store: FakeStore, registry: MemoryRegistry
) -> None:
    compiler = store.add("g++-12", {"bin": {"g++": b"#!/no"}})
    web = describe(store, "web")["web"]
    own = {key: value for key, value in web.items() if key != "name"}
    tables = describe(store) | {"compiler": {**own, "contents": [str(compiler)]}}
    result, _ = run(tables, f"{registry.host}/batch")
    assert not result.failed
    assert digests(result).keys() == tables.keys()


def test_a_batch_that_fails_fast_raises_the_first_error(store: FakeStore, registry: MemoryRegistry) -> None:
    with pytest.raises(NotFound, match="image nothing"):
        run(describe(store) | describe(store, "nothing"), f"{registry.host}/batch", fail_fast=True)


@pytest.mark.parametrize("status", [400, 404, 405])
def test_a_layer_that_the_registry_refuses_fails_its_images_alone_and_at_once(
    store: FakeStore, registry: MemoryRegistry, status: int
) -> None:
    registry.fail("POST", "/v2/batch/job/blobs/uploads", answer_with(status), times=10_000)
    result, recorder = run(describe(store), f"{registry.host}/batch")
    assert [image.name for image in result.failed] == ["job"]
    assert isinstance(result.failed[0].error, RegistryError)
    assert str(result.failed[0].error).startswith("image job: layer job-1: ")
    assert {image.name for image in result.images if image.digest} == {"web", "api"}
    assert recorder.retried == []


def test_a_layer_is_tried_again_after_the_registry_failed_for_longer_than_its_requests_are_repeated(
    store: FakeStore, registry: MemoryRegistry
) -> None:
    registry.fail("POST", "/v2/batch/job/blobs/uploads", answer_with(503), times=RetryPolicy().attempts)
    result, recorder = run(describe(store), f"{registry.host}/batch")
    assert set(digests(result)) == set(APPLICATIONS)
    assert recorder.retried == ["layer job-1"]


def test_two_images_of_one_name_are_refused_before_work_begins(store: FakeStore, registry: MemoryRegistry) -> None:
    tables = describe(store, "web", "api", name="same")
    with pytest.raises(InvalidArgument, match=r"image api: name: got same:1, as image web"):
        run(tables, f"{registry.host}/batch")
    assert registry.seen == []


def test_documents_are_attached_to_every_image(store: FakeStore, registry: MemoryRegistry) -> None:
    result, _ = run(describe(store), f"{registry.host}/batch", sbom="spdx", has_provenance=True)
    for name, digest in digests(result).items():
        (image,) = lamina.inspect(f"{registry.host}/batch/{name}@{digest}", attached=True)
        assert len(image.attached) == 2


def test_the_warnings_about_an_image_are_in_its_result(store: FakeStore, registry: MemoryRegistry) -> None:
    result, _ = run(describe(store, "web", config={"Unknown": 1}), f"{registry.host}/batch")
    assert any("Unknown" in text for text in result.images[0].warnings)


def test_a_batch_without_the_network_goes_to_a_layout_only(store: FakeStore, registry: MemoryRegistry) -> None:
    result, _ = run(describe(store, "web", offline=True), f"{registry.host}/batch")
    assert isinstance(result.failed[0].error, InvalidArgument)
    assert registry.seen == []


def test_several_platforms_become_an_index(store: FakeStore, registry: MemoryRegistry) -> None:
    tables = describe(store, "web", platforms=("linux/amd64", "linux/arm64"), roots={}, architecture=None)
    result, _ = run(tables, f"{registry.host}/batch")
    digests(result)
    images = lamina.inspect(f"{registry.host}/batch/web:1")
    assert [image.platform for image in images] == ["linux/amd64", "linux/arm64"]
    assert len(result.images[0].images) == 2


def test_a_layer_that_the_blob_cache_has_is_not_packed_for_another_registry(
    store: FakeStore, registry: MemoryRegistry, tmp_path: Path
) -> None:
    caches = {"layer_cache": str(tmp_path / "layers.sqlite"), "blob_cache": str(tmp_path / "blobs")}
    tables = describe(store, **caches)
    first, _ = run(tables, f"{registry.host}/first")
    for path in (store.root / "nix/store").glob("*-log-1"):
        (path / "lib").write_bytes(b"changed")  # so that packing it again would give another layer, and fail
    with serve_registry() as other:
        second, _ = run(tables, f"{other.host}/second")
        assert digests(second) == digests(first)
    assert second.layers_made == 0


def test_a_registry_that_refuses_the_credentials_ends_the_batch_before_a_layer_is_made(
    store: FakeStore, registry: MemoryRegistry
) -> None:
    registry.authentication = "basic"
    recorder = Recorder()
    options = BatchOptions(parse_destination(f"{registry.host}/batch", None), LocalWorkers(1), progress=recorder)
    with pytest.raises(AuthError):
        batch_tables(describe(store), options)
    assert recorder.layers == []


def test_a_registry_that_nobody_serves_ends_the_batch_before_a_layer_is_made(store: FakeStore) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(RegistryError, match="Connection refused"):
        run(describe(store), f"127.0.0.1:{port}/batch")


@pytest.mark.parametrize("specs", [5, {5: {}}, {"web": None}, {"web": {"layer_compression": ["gzip"]}}])
def test_values_of_other_types_are_refused(specs: Any, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument):
        lamina.batch(specs, output=tmp_path / "images")


@pytest.mark.parametrize("status", [403, 404])
def test_shared_layers_go_elsewhere_if_the_repository_of_their_first_image_refuses_pushes(
    store: FakeStore, registry: MemoryRegistry, status: int
) -> None:
    registry.fail("POST", "/v2/batch/web/blobs/uploads", answer_with(status), times=10_000)
    result, recorder = run(describe(store, layering="cost"), f"{registry.host}/batch")
    assert [image.name for image in result.failed] == ["web"]
    assert {image.name for image in result.images if image.digest} == {"api", "job"}
    # It is dropped, or fails too if it has begun.
    assert {layer.names for layer in recorder.layers if layer.outcome == FAILED} <= {("web-1",)}
    assert recorder.retried == []
    sent = count_uploads(registry)
    assert set(sent.values()) == {1}


def test_a_registry_that_refuses_all_pushes_is_not_asked_for_every_image(
    store: FakeStore, registry: MemoryRegistry
) -> None:
    registry.fail("POST", "/blobs/uploads", answer_with(405), times=10_000)
    tables = {f"web{number}": {**describe(store, "web")["web"], "name": f"web{number}"} for number in range(9)}
    result, _ = run(tables, f"{registry.host}/batch")
    assert len(result.failed) == 9
    assert len({request.path.split("/")[3] for request in registry.seen if request.method == "POST"}) <= 3


def test_a_repository_that_refuses_everything_fails_its_image_alone_though_it_is_the_first(
    store: FakeStore, registry: MemoryRegistry
) -> None:
    for method in ("HEAD", "POST"):
        registry.fail(method, "/v2/batch/web/", answer_with(403), times=10_000)
    result, _ = run(describe(store), f"{registry.host}/batch")
    assert [(image.name, type(image.error)) for image in result.failed] == [("web", AuthError)]
    assert {image.name for image in result.images if image.digest} == {"api", "job"}
