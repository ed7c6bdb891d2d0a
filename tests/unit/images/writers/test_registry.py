"""A push makes and sends only what a registry lacks, and moves tags last."""

from __future__ import annotations

import gzip
import json
import lzma
import shutil
import tarfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.support import image_files
from tests.support.fake_nix_store import FakeStore, example
from tests.support.progress import RecordedProgress
from tests.support.registry import QUICK, MemoryRegistry, RegistryHandler, answer_with, digest_of, serve_registry

import lamina
from lamina.compression.decoders import decode_pieces
from lamina.core.progress import ProgressItem
from lamina.errors import AuthError, IntegrityError, RegistryError
from lamina.images.writers.push_result import RegistryPushResult
from lamina.transports.retry import use_policy

REPOSITORY = "me/app"


@pytest.fixture
def store(tmp_path: Path) -> FakeStore:
    store, _ = example(tmp_path / "root")
    store.add("large-1", {"data": b"0123456789abcdef" * 20_000})
    return store


@pytest.fixture
def server() -> Iterator[MemoryRegistry]:
    with serve_registry() as server, use_policy(QUICK):
        yield server


def push(server: MemoryRegistry, store: FakeStore, *names: str, **arguments: Any) -> RegistryPushResult:
    references = [f"{server.host}/{name}" for name in names or (f"{REPOSITORY}:1",)]
    return lamina.push_layered_image(to=references, **(describe(store) | arguments))


def describe(store: FakeStore) -> dict[str, Any]:
    """Return the arguments of the image of these tests."""
    return {"contents": ["hello", "large"], "architecture": "amd64", "store": str(store.root), "name": "x"}


def manifest(server: MemoryRegistry, name: str = REPOSITORY, tag: str = "1") -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(server.manifests[name][tag][1])
    return parsed


def count(server: MemoryRegistry, method: str, part: str = "") -> int:
    return sum(request.method == method and part in request.path for request in server.seen)


def bytes_received(server: MemoryRegistry) -> int:
    return sum(request.size for request in server.seen)


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd:1"])
def test_the_registry_has_the_image(server: MemoryRegistry, store: FakeStore, compression: str) -> None:
    pushed = push(server, store, layer_compression=compression, jobs=2)
    with lamina.stream_layered_image(
        contents=["hello", "large"], architecture="amd64", store=str(store.root), name="x"
    ) as stream:
        built = stream.write_to(_Sink())
    assert pushed.layers == built.layers
    assert pushed.id == built.id
    found = manifest(server)
    blobs = server.blobs[REPOSITORY]
    assert found["config"]["digest"] == pushed.id
    assert pushed.references == (f"{server.host}/{REPOSITORY}:1@{pushed.manifest_digest}",)
    assert str(pushed.manifest_digest) in server.manifests[REPOSITORY]
    for described, layer in zip(found["layers"], pushed.layers, strict=True):
        data = blobs[described["digest"]]
        assert len(data) == described["size"]
        plain = b"".join(decode_pieces([data], compression.partition(":")[0]))
        assert digest_of(plain) == layer.diff_id
        suffix = "" if compression == "none" else f"+{compression.partition(':')[0]}"
        assert described["mediaType"] == f"application/vnd.oci.image.layer.v1.tar{suffix}"
    assert (pushed.blobs_sent, pushed.blobs_mounted, pushed.update) == (len(pushed.layers), 0, None)
    assert pushed.bytes_sent == sum(blob.size for blob in pushed.blobs)


class _Sink:
    def write(self, data: Any) -> int:
        return len(data)


def test_nothing_is_read_or_sent_again(server: MemoryRegistry, store: FakeStore, tmp_path: Path) -> None:
    first = push(server, store, layer_cache=tmp_path / "cache")
    for path in (store.root / "nix/store").rglob("data"):
        path.chmod(0o644)
        path.write_bytes(b"never read")
    server.seen.clear()
    progress = RecordedProgress()
    again = push(server, store, layer_cache=tmp_path / "cache", progress=progress)
    assert again.manifest_digest == first.manifest_digest
    assert (again.blobs_sent, again.bytes_sent) == (0, 0)
    assert bytes_received(server) == 0
    assert len(server.seen) == len(first.layers) + 3, "the API, the tag, and each blob once"
    assert count(server, "HEAD") == len(first.layers) + 1
    assert {call[2] for call in progress.calls if call[0] == "finish"} == {"reused"}
    assert again.update
    assert (again.update.sent.count, again.update.gone.count, again.update.kept.count) == (0, 0, len(first.layers))


def test_a_machine_without_a_layer_cache_uses_what_the_last_image_states(
    server: MemoryRegistry, store: FakeStore
) -> None:
    first = push(server, store)
    store.add("small-1", {"small": b"small"})
    for path in (store.root / "nix/store").rglob("data"):
        if path.parent.name.endswith("large-1"):
            path.chmod(0o644)
            path.write_bytes(b"never read")
    server.seen.clear()
    pushed = push(server, store, contents=["hello", "large", "small"])
    new = [blob for blob in pushed.blobs if blob not in first.blobs]
    assert len(new) == 2, "the new path, and the customisation layer with its link"
    assert pushed.blobs_sent == 2
    documents = [request.size for request in server.seen if request.method == "PUT"]
    assert len(documents) == 4, "two layers, the config and the manifest"
    assert bytes_received(server) < 20_000
    assert pushed.update
    assert (pushed.update.sent.count, pushed.update.kept.count, pushed.update.gone.count) == (
        2,
        len(first.blobs) - 1,
        1,
    )


def test_what_an_image_states_may_be_left_unused(server: MemoryRegistry, store: FakeStore) -> None:
    first = push(server, store)
    progress = RecordedProgress()
    again = push(server, store, cache_from=None, progress=progress)
    assert again.manifest_digest == first.manifest_digest
    assert {call[0] for call in progress.calls} >= {"start", "advance"}
    assert again.blobs_sent == 0


def test_a_statement_is_compared_with_the_packed_layer(server: MemoryRegistry, store: FakeStore) -> None:
    push(server, store)
    media_type, document = server.manifests[REPOSITORY]["1"]
    wrong = json.loads(document)
    described = next(layer for layer in wrong["layers"] if "annotations" in layer)
    described["annotations"]["lamina.layer.diff-id"] = str(digest_of(b"wrong"))
    server.add_manifest(REPOSITORY, "1", json.dumps(wrong).encode(), media_type)
    believed = push(server, store)
    assert str(digest_of(b"wrong")) in {str(layer.diff_id) for layer in believed.layers}
    server.add_manifest(REPOSITORY, "1", json.dumps(wrong).encode(), media_type)
    with pytest.raises(IntegrityError, match="the digest that an image in the registry states"):
        push(server, store, verify=True)
    right = push(server, store, cache_from=None)
    assert str(digest_of(b"wrong")) not in {str(layer.diff_id) for layer in right.layers}


def test_a_blob_is_sent_once_and_mounted_into_the_other_repositories(server: MemoryRegistry, store: FakeStore) -> None:
    names = ("me/app:1", "me/app:latest", "me/other:1")
    pushed = push(server, store, *names)
    assert len(pushed.references) == 3
    assert {tag for tag in server.manifests["me/app"] if ":" not in tag} == {"1", "latest"}
    assert server.blobs["me/other"] == server.blobs["me/app"]
    assert count(server, "PUT", "/me/other/blobs/") == 0
    assert count(server, "POST", "/me/other/blobs/") == len(pushed.layers) + 1
    assert manifest(server) == manifest(server, "me/other")


def test_a_blob_of_a_cached_image_is_mounted_and_never_made(server: MemoryRegistry, store: FakeStore) -> None:
    first = push(server, store)
    server.seen.clear()
    progress = RecordedProgress()
    pushed = push(
        server, store, "you/app:2", cache_from=f"{server.host}/{REPOSITORY}:1", progress=progress, layer_cache=None
    )
    assert pushed.manifest_digest == first.manifest_digest
    assert pushed.blobs_mounted == len(pushed.layers)
    assert bytes_received(server) < 20_000
    outcomes = [call[2] for call in progress.calls if call[0] == "finish"]
    assert set(outcomes) == {"mounted"}


def test_a_registry_that_mounts_nothing_gets_the_bytes(server: MemoryRegistry, store: FakeStore) -> None:
    push(server, store)
    server.can_mount = False
    pushed = push(server, store, "you/app:2", "he/app:3", cache_from=f"{server.host}/{REPOSITORY}:1")
    assert pushed.blobs_mounted == 0
    assert pushed.blobs_sent == len(pushed.layers)
    assert server.blobs["you/app"] == server.blobs["he/app"] == server.blobs[REPOSITORY]


def test_an_image_that_cannot_be_read_is_a_warning(server: MemoryRegistry, store: FakeStore) -> None:
    pushed = push(server, store, cache_from=[f"{server.host}/no/such:1", "127.0.0.1:1/no/registry:1"])
    (first, second) = pushed.warnings
    assert first == f"{server.host}/no/such:1: got no such image, so nothing is taken from it"
    assert second.startswith("127.0.0.1:1/no/registry:1: nothing is taken from it: ")


def test_two_registries_get_the_same_image(server: MemoryRegistry, store: FakeStore) -> None:
    with serve_registry() as other:
        references = [f"{server.host}/me/app:1", f"{other.host}/you/app:1"]
        pushed = lamina.push_layered_image(
            to=references, contents=["hello"], architecture="amd64", store=str(store.root)
        )
        assert server.manifests["me/app"]["1"] == other.manifests["you/app"]["1"]
        assert pushed.bytes_sent == 2 * sum(blob.size for blob in pushed.blobs)


def test_a_registry_that_fails_keeps_its_tag(server: MemoryRegistry, store: FakeStore, tmp_path: Path) -> None:
    first = push(server, store)
    store.add("small-1", {"small": b"small"})
    server.fail("PUT", "/blobs/uploads/", answer_with(403), times=1000)
    with pytest.raises(AuthError):
        push(server, store, contents=["hello", "small"])
    server.faults.clear()
    server.fail("PUT", "/blobs/uploads/", answer_with(500), times=1000)
    with pytest.raises(RegistryError):
        push(server, store, contents=["hello", "small"])
    assert digest_of(server.manifests[REPOSITORY]["1"][1]) == first.manifest_digest
    server.faults.clear()
    assert push(server, store, contents=["hello", "small"]).manifest_digest != first.manifest_digest


def test_an_image_is_copied_from_one_registry_to_another_and_mounted_in_the_same(
    server: MemoryRegistry, store: FakeStore
) -> None:
    pushed = push(server, store)
    source = f"{server.host}/{REPOSITORY}:1"
    server.seen.clear()
    mounted = lamina.push_image(source, to=f"{server.host}/you/app:2")
    assert mounted.manifest_digest == pushed.manifest_digest
    assert (mounted.blobs_mounted, mounted.blobs_sent) == (len(pushed.layers), 0)
    assert count(server, "GET", "/blobs/") == 1, "the config"
    with serve_registry() as other:
        copied = lamina.push_image(source, to=f"{other.host}/he/app:3")
        assert other.manifests["he/app"]["3"] == server.manifests[REPOSITORY]["1"]
        assert other.blobs["he/app"] == server.blobs[REPOSITORY]
        assert copied.blobs_sent == len(pushed.layers)


def test_blobs_that_vanish_before_the_manifest_are_sent_again(
    server: MemoryRegistry, store: FakeStore, tmp_path: Path
) -> None:
    """A registry may remove a blob that no manifest refers to, after it said that it has it."""
    first = push(server, store, layer_cache=tmp_path / "cache")
    server.manifests[REPOSITORY].clear()
    lost = first.blobs[0]

    def collect_garbage(handler: RegistryHandler) -> bool:
        del server.blobs[REPOSITORY][str(lost.digest)]
        return False

    server.fail("PUT", "/manifests/", collect_garbage)
    again = push(server, store, layer_cache=tmp_path / "cache")
    assert again.manifest_digest == first.manifest_digest
    assert (again.blobs_sent, again.bytes_sent) == (1, lost.size)
    assert str(lost.digest) in server.blobs[REPOSITORY]


def test_a_blob_that_is_mounted_in_name_only_is_sent(server: MemoryRegistry, store: FakeStore) -> None:
    first = push(server, store)

    def forget_mounts(handler: RegistryHandler) -> bool:
        server.blobs["you/app"].clear()
        return False

    server.fail("PUT", "/you/app/manifests/", forget_mounts)
    source = f"{server.host}/{REPOSITORY}:1"
    copied = lamina.push_image(source, to=f"{server.host}/you/app:2")
    assert copied.manifest_digest == first.manifest_digest
    assert (copied.blobs_sent, copied.blobs_mounted) == (len(first.layers), 0)
    assert server.blobs["you/app"] == server.blobs[REPOSITORY]


def test_a_registry_that_denies_its_blobs_is_asked_twice(server: MemoryRegistry, store: FakeStore) -> None:
    body = b'{"errors": [{"code": "BLOB_UNKNOWN", "message": "no"}]}'
    server.fail("PUT", "/manifests/", answer_with(400, {}, body), times=100)
    with pytest.raises(RegistryError, match="BLOB_UNKNOWN") as caught:
        push(server, store)
    assert "said that it has all blobs" in caught.value.hint
    assert count(server, "PUT", "/manifests/") == 2


class _SentWhenFinished(RecordedProgress):
    """Records which layers' blobs the registry has when a layer is finished."""

    def __init__(self, server: MemoryRegistry) -> None:
        super().__init__()
        self.server = server
        self.stored: list[int] = []

    def finish(self, item: ProgressItem, outcome: str, size: int) -> None:
        super().finish(item, outcome, size)
        self.stored.append(len(self.server.blobs[REPOSITORY]))


def test_a_layer_is_finished_when_the_registry_has_it(server: MemoryRegistry, store: FakeStore) -> None:
    progress = _SentWhenFinished(server)
    pushed = push(server, store, progress=progress)
    assert [have >= number for number, have in enumerate(progress.stored, 1)] == [True] * len(pushed.layers)
    assert progress.sum_up() == {item.number: item.size for item in progress.works[0].items if item.size}
    assert {call[2] for call in progress.calls if call[0] == "finish"} == {"sent"}


@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize(("output", "format_name"), [("layout/", None), ("x.tar", "oci"), ("x.tar", "hybrid")])
def test_a_layout_or_its_archive_says_the_same_of_its_layers_as_a_registry(
    server: MemoryRegistry, store: FakeStore, tmp_path: Path, compression: str, output: str, format_name: str | None
) -> None:
    written = f"{tmp_path}/{output}"
    lamina.build_layered_image(output=written, layer_compression=compression, format=format_name, **describe(store))
    pushed = lamina.push_image(written, to=f"{server.host}/{REPOSITORY}:1", layer_compression="none")
    again = push(server, store, layer_compression=compression)
    assert again.manifest_digest == pushed.manifest_digest
    assert again.blobs_sent == 0


def test_an_image_file_is_compressed_and_keeps_its_id(server: MemoryRegistry, store: FakeStore, tmp_path: Path) -> None:
    built = lamina.build_layered_image(output=tmp_path / "x.tar", **describe(store))
    cache = tmp_path / "cache"
    pushed = lamina.push_image(tmp_path / "x.tar", to=f"{server.host}/{REPOSITORY}:1", layer_cache=cache)
    assert (pushed.id, pushed.layers) == (built.id, built.layers)
    assert {layer["mediaType"][-4:] for layer in manifest(server)["layers"]} == {"gzip"}
    progress = RecordedProgress()
    again = lamina.push_image(
        tmp_path / "x.tar", to=f"{server.host}/{REPOSITORY}:1", layer_cache=cache, progress=progress
    )
    assert again.manifest_digest == pushed.manifest_digest
    assert not [call for call in progress.calls if call[0] == "start"], "no layer was compressed again"


def damage(folder: Path, digest: str) -> None:
    """Change the last byte of a blob in a layout."""
    file = folder / "blobs" / "sha256" / digest.removeprefix("sha256:")
    data = file.read_bytes()
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


@pytest.fixture(params=["folder", "archive"])
def layout(request: pytest.FixtureRequest, store: FakeStore, tmp_path: Path) -> tuple[Path, list[str]]:
    """Return an OCI layout with compressed layers, of which the last byte of each is wrong, and their digests."""
    folder = tmp_path / "layout"
    lamina.build_layered_image(output=f"{folder}/", layer_compression="gzip", **describe(store))
    (image,) = lamina.inspect(folder)
    digests = [str(layer.digest) for layer in image.layers]
    intact = tmp_path / "intact"
    shutil.copytree(folder, intact)
    for digest in digests:
        damage(folder, digest)
    if request.param == "folder":
        return folder, digests
    with tarfile.open(tmp_path / "layout.tar", "w") as archive:
        archive.add(folder, ".")
    return tmp_path / "layout.tar", digests


def test_layers_of_a_layout_that_the_registry_has_are_not_read(
    server: MemoryRegistry, layout: tuple[Path, list[str]], tmp_path: Path
) -> None:
    first = lamina.push_image(tmp_path / "intact", to=f"{server.host}/{REPOSITORY}:1")
    server.seen.clear()
    progress = RecordedProgress()
    again = lamina.push_image(layout[0], to=f"{server.host}/{REPOSITORY}:1", progress=progress)
    assert (again.manifest_digest, again.blobs, again.id) == (first.manifest_digest, first.blobs, first.id)
    assert [layer.paths for layer in again.layers[:-1]] == [layer.paths for layer in first.layers[:-1]]
    assert bytes_received(server) == 0
    assert len(progress.works) == 1, "nothing was read first"
    assert {call[2] for call in progress.calls if call[0] == "finish"} == {"reused"}


def test_a_layer_of_a_layout_is_compared_with_its_digest_while_it_is_sent(
    server: MemoryRegistry, layout: tuple[Path, list[str]]
) -> None:
    with pytest.raises(IntegrityError, match=r"expected the digest in its name") as caught:
        lamina.push_image(layout[0], to=f"{server.host}/{REPOSITORY}:1")
    assert "blobs/sha256/" in str(caught.value)
    assert not server.manifests.get(REPOSITORY)
    assert not set(layout[1]) & set(server.blobs.get(REPOSITORY, {}))


def test_all_layers_of_a_layout_are_read_first_to_verify_it(
    server: MemoryRegistry, layout: tuple[Path, list[str]]
) -> None:
    with pytest.raises(IntegrityError, match=r"expected the digest in its name"):
        lamina.push_image(layout[0], to=f"{server.host}/{REPOSITORY}:1", verify=True)
    assert count(server, "POST") == 0


def test_a_layer_of_a_docker_archive_is_compared_with_its_diff_id_while_it_is_compressed(
    server: MemoryRegistry, store: FakeStore, tmp_path: Path
) -> None:
    lamina.build_layered_image(output=tmp_path / "x.tar", **describe(store))
    data = (tmp_path / "x.tar").read_bytes()
    assert data.count(b"0123456789abcdef" * 20_000) == 1
    (tmp_path / "x.tar").write_bytes(data.replace(b"0123456789abcdef" * 20_000, b"0123456789abcdeX" * 20_000))
    with pytest.raises(IntegrityError, match=r"layer [0-9]+: got sha256:"):
        lamina.push_image(tmp_path / "x.tar", to=f"{server.host}/{REPOSITORY}:1")
    assert not server.manifests.get(REPOSITORY)


def test_the_unpacking_of_a_compressed_file_has_progress(
    server: MemoryRegistry, store: FakeStore, tmp_path: Path
) -> None:
    built = lamina.build_layered_image(output=tmp_path / "x.tar.gz", **describe(store))
    progress = RecordedProgress()
    pushed = lamina.push_image(tmp_path / "x.tar.gz", to=f"{server.host}/{REPOSITORY}:1", progress=progress)
    assert pushed.id == built.id
    assert [work.title for work in progress.works] == ["Unpacking x.tar.gz", f"{server.host}/{REPOSITORY}:1"]
    assert progress.works[0].size == (tmp_path / "x.tar.gz").stat().st_size


@pytest.mark.parametrize("compress", [partial(gzip.compress, mtime=0), lzma.compress])
def test_an_archive_whose_compressed_layers_have_no_digest_is_read_first(
    server: MemoryRegistry, compress: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    data = image_files.layer("a", "b")
    (tmp_path / "x.tar").write_bytes(
        image_files.docker_archive({"l.tar": compress(data)}, config=json.loads(image_files.config([data])))
    )
    progress = RecordedProgress()
    pushed = lamina.push_image(tmp_path / "x.tar", to=f"{server.host}/{REPOSITORY}:1", progress=progress)
    (described,) = manifest(server)["layers"]
    stored = server.blobs[REPOSITORY][described["digest"]]
    assert gzip.decompress(stored) == data
    assert (stored == compress(data)) == (compress is not lzma.compress)
    assert [str(found.diff_id) for found in pushed.layers] == [str(digest_of(data))]
    assert len(progress.works) == 2
