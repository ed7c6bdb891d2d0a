"""Proving layers: images of lamina and of nixpkgs' rules, from caches and from a Nix store."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.support import nixpkgs_streamer
from tests.support.binary_cache import KEY, METHODS, OTHER, Cache, example
from tests.support.factories import File
from tests.support.fake_nix_store import FakeStore
from tests.support.image_files import docker_archive
from tests.support.nixpkgs_confs import CASES, write_case
from tests.support.progress import RecordedProgress
from tests.support.registry import MemoryRegistry, serve_open_registry

import lamina
from lamina.core.names import StorePath
from lamina.formats.keys import SecretKey
from lamina.formats.narinfo import NarInfo
from lamina.images.readers.source_image import SourceLayer
from lamina.stores.local.database import LocalStore

SIGNED, REPRODUCED, DIFFERS = "reproduced and signed", "reproduced", "differs"
MISSING, OTHER_FILES = "not in the stores", "not of store paths"


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    made = Cache(tmp_path / "cache")
    example(made)
    return made


def build(cache: Cache, output: Path | str, **more: Any) -> lamina.BuildResult:
    (root,) = (path for path in cache.trees if path.name.startswith("hello"))
    arguments = {"tag": "1", "store": cache.url, "trusted_keys": str(KEY.public), **more}
    return lamina.build_layered_image(contents=[str(root)], output=output, **arguments)


def verify(cache: Cache, image: Path | str, **more: Any) -> lamina.ImageVerificationResult:
    return lamina.verify_image(image, **{"store": cache.url, "trusted_keys": str(KEY.public), **more})


def find(cache: Cache, name: str) -> StorePath:
    return next(path for path in cache.trees if path.name.startswith(name))


def list_verdicts(result: lamina.ImageVerificationResult) -> list[str]:
    return [layer.verdict for layer in result.layers]


def change(file: Path, old: bytes, new: bytes) -> None:
    data = file.read_bytes()
    assert data.count(old) == 1
    file.write_bytes(data.replace(old, new))


FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    "docker-archive": ("image.tar", {}),
    "compressed archive": ("image.tar.gz", {}),
    "layout": ("layout/", {"layer_compression": "none"}),
    "layout of gzip": ("layout/", {"layer_compression": "gzip"}),
    "layout of zstd": ("layout/", {"layer_compression": "zstd"}),
}


@pytest.mark.parametrize("name", FORMATS)
def test_all_layers_of_a_signed_cache_are_reproduced_and_signed(name: str, cache: Cache, tmp_path: Path) -> None:
    output, more = FORMATS[name]
    build(cache, f"{tmp_path}/{output}", **more)
    result = verify(cache, f"{tmp_path}/{output}")
    assert list_verdicts(result) == [SIGNED] * 4 + [OTHER_FILES]
    assert result.is_verified
    assert result.is_whole
    assert {path.key for layer in result.layers for path in layer.checked_paths} == {KEY.name}


def test_owner_and_date_are_those_of_the_headers(cache: Cache, tmp_path: Path) -> None:
    owner = {"uid": 1000, "gid": 1 << 22, "uname": "jürgen", "gname": "users"}
    build(cache, tmp_path / "image.tar", mtime="2001-09-09T01:46:40Z", max_layers=3, **owner)
    assert list_verdicts(verify(cache, tmp_path / "image.tar")) == [SIGNED, SIGNED, OTHER_FILES]


def make_nixpkgs_image(name: str, folder: Path) -> FakeStore:
    """Write a case's image as nixpkgs makes it to ``image.tar`` in its store, and return the store."""
    store = FakeStore(folder)
    conf = json.loads(write_case(name, folder).read_text())
    with (folder / "image.tar").open("wb") as out:
        nixpkgs_streamer.stream(conf, out, folder)
    for item in (folder / "nix/store").iterdir():
        store.register(StorePath.parse_base(item.name))
    return store


def sign(store: FakeStore, keys: Mapping[StorePath, SecretKey | None]) -> None:
    """Sign each path with its key; with None, it has no signature."""
    with store.writing() as database:
        for path, info in LocalStore(store.root).query(keys).items():
            key = keys[path]
            signature = key.sign(NarInfo(info, "", "none", ()).fingerprint) if key else None
            database.execute("UPDATE ValidPaths SET sigs = ? WHERE path = ?", (signature, str(path)))


def list_stored(store: FakeStore) -> list[StorePath]:
    return [StorePath.parse_base(item.name) for item in (store.root / "nix/store").iterdir()]


@pytest.mark.parametrize("name", CASES)
def test_images_of_nixpkgs_rules_are_reproduced_from_a_nix_store(name: str, tmp_path: Path) -> None:
    store = make_nixpkgs_image(name, tmp_path / "root")
    result = lamina.verify_image(store.root / "image.tar", store=store.root)
    count = len(result.layers)
    assert OTHER_FILES in list_verdicts(result)
    assert list_verdicts(result).count(REPRODUCED) == count - (2 if name == "base image" else 1)
    assert result.is_verified

    sign(store, dict.fromkeys(list_stored(store), KEY))
    signed = lamina.verify_image(store.root / "image.tar", store=store.root, trusted_keys=str(KEY.public))
    assert signed.is_verified
    assert list_verdicts(signed) == [SIGNED if word == REPRODUCED else word for word in list_verdicts(result)]


def find_store_layer(store: FakeStore) -> SourceLayer:
    """Return the uppermost layer of store paths of the image in ``store``."""
    (image,) = lamina.inspect(store.root / "image.tar")
    layer = next(layer for layer in reversed(image.layers) if {*layer.paths} & {*list_stored(store)})
    assert isinstance(layer, SourceLayer)
    return layer


@pytest.mark.parametrize("key", [None, OTHER], ids=["unsigned", "of another key"])
@pytest.mark.parametrize("name", CASES)
def test_a_wrong_signature_in_an_image_of_nixpkgs_rules_is_named(
    name: str, key: SecretKey | None, tmp_path: Path
) -> None:
    store = make_nixpkgs_image(name, tmp_path / "root")
    wrong = find_store_layer(store).paths[-1]
    sign(store, {**dict.fromkeys(list_stored(store), KEY), wrong: key})
    result = lamina.verify_image(store.root / "image.tar", store=store.root, trusted_keys=str(KEY.public))
    (layer,) = result.failures
    (path,) = layer.unsigned_paths
    assert (layer.verdict, path.path) == (REPRODUCED, wrong)
    assert (f"got only signatures of {OTHER.name}" if key else "got no signature") in path.reason


@pytest.mark.parametrize("name", CASES)
def test_a_flipped_byte_in_an_image_of_nixpkgs_rules_is_named(name: str, tmp_path: Path) -> None:
    store = make_nixpkgs_image(name, tmp_path / "root")
    data, layer = bytearray((store.root / "image.tar").read_bytes()), find_store_layer(store)
    start = layer.tar.offset
    with tarfile.open(fileobj=io.BytesIO(data[start : start + layer.tar.length])) as archive:
        file = next(member for member in archive if member.isreg() and member.size)
    data[start + file.offset_data] ^= 1
    (store.root / "image.tar").write_bytes(data)
    (failed,) = lamina.verify_image(store.root / "image.tar", store=store.root).failures
    assert (failed.verdict, failed.diff_id) == (DIFFERS, layer.diff_id)
    assert f"/{file.name.lstrip('/')}".startswith(f"{failed.differing_path}/")
    assert "got other content at byte 0 of" in failed.reason


def test_a_flipped_byte_is_found_and_named(cache: Cache, tmp_path: Path) -> None:
    build(cache, tmp_path / "image.tar")
    change(tmp_path / "image.tar", b"ELF" + b"lib" * 1000, b"ELF" + b"lib" * 999 + b"liB")
    result = verify(cache, tmp_path / "image.tar")
    assert list_verdicts(result) == [DIFFERS, SIGNED, SIGNED, SIGNED, OTHER_FILES]
    lib = find(cache, "libgreet")
    (layer,) = result.failures
    assert (layer.number, layer.differing_path) == (1, lib)
    assert layer.reason == (
        f"{lib}/lib/libgreet.so: got other content at byte 3003 of 3004, expected the content in the store"
    )


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_a_flipped_byte_of_a_compressed_layer_is_found_and_named(
    compression: str, cache: Cache, tmp_path: Path
) -> None:
    image = build(cache, f"{tmp_path}/layout/", layer_compression=compression)
    lib = find(cache, "libgreet")
    number = next(index for index, layer in enumerate(image.layers) if layer.paths == (lib,))
    blob = tmp_path / "layout/blobs/sha256" / image.blobs[number].digest.hex
    data = bytearray(blob.read_bytes())
    for position in range(len(data) - 20, len(data), 5):
        data[position] ^= 0x10
    blob.chmod(0o644)
    blob.write_bytes(data)
    result = verify(cache, tmp_path / "layout")
    (layer,) = result.failures
    assert (layer.number, layer.verdict) == (number + 1, DIFFERS)
    assert layer.reason


def test_a_flipped_byte_of_another_layer_is_found(cache: Cache, tmp_path: Path) -> None:
    (tmp_path / "motd").write_bytes(b"hello world")
    build(cache, tmp_path / "image.tar", tree=[lamina.File("/etc/motd", str(tmp_path / "motd"))])
    change(tmp_path / "image.tar", b"hello world", b"hellO world")
    (layer,) = verify(cache, tmp_path / "image.tar").failures
    assert (layer.verdict, layer.name) == (DIFFERS, "customisation layer")
    assert layer.reason.startswith("layer 5: got bytes with the digest sha256:")


def test_unsigned_paths_and_those_of_other_keys_are_named(cache: Cache, tmp_path: Path) -> None:
    build(cache, tmp_path / "image.tar")
    words, shell = find(cache, "words"), find(cache, "sh-5")
    cache.sign(words)
    cache.sign(shell, OTHER)
    result = verify(cache, tmp_path / "image.tar")
    assert list_verdicts(result) == [SIGNED, REPRODUCED, REPRODUCED, SIGNED, OTHER_FILES]
    assert not result.is_verified
    unsigned = {path.path: path.reason for layer in result.failures for path in layer.unsigned_paths}
    assert "got no signature, expected a signature of" in unsigned[words]
    assert f"got only signatures of {OTHER.name}, expected" in unsigned[shell]


def test_a_forged_signature_does_not_count(cache: Cache, tmp_path: Path) -> None:
    build(cache, tmp_path / "image.tar")
    words, shell = find(cache, "words"), find(cache, "sh-5")
    cache.change(words, signatures=cache.narinfos[shell].signatures)
    (layer,) = verify(cache, tmp_path / "image.tar").failures
    assert "that does not match" in layer.unsigned_paths[0].reason


def test_signatures_are_demanded_only_of_those_who_name_a_key(cache: Cache, tmp_path: Path) -> None:
    build(cache, tmp_path / "image.tar")
    for more in ({"trusted_keys": ()}, {"trusted_keys": str(OTHER.public), "verify_signatures": False}):
        result = verify(cache, tmp_path / "image.tar", **more)
        assert list_verdicts(result) == [REPRODUCED] * 4 + [OTHER_FILES]
        assert result.is_verified
    assert not verify(cache, tmp_path / "image.tar", trusted_keys=str(OTHER.public)).is_verified


def test_what_nobody_signed_is_not_kept(cache: Cache, tmp_path: Path) -> None:
    build(cache, tmp_path / "image.tar")
    cache.sign(find(cache, "words"))
    store = tmp_path / "store"
    lamina.fetch_paths(
        [str(find(cache, "libgreet"))], embedded_store=store, store=cache.url, trusted_keys=str(KEY.public)
    )
    before = sorted(store.rglob("*"))
    result = verify(cache, tmp_path / "image.tar", store=[store, cache.url], embedded_store=store)
    assert list_verdicts(result) == [SIGNED, REPRODUCED, SIGNED, SIGNED, OTHER_FILES]
    assert sorted(store.rglob("*")) == before


def test_a_path_that_no_store_has_is_named(cache: Cache, tmp_path: Path) -> None:
    build(cache, tmp_path / "image.tar")
    words = find(cache, "words")
    cache.narinfo_of(words).unlink()
    result = verify(cache, tmp_path / "image.tar")
    assert list_verdicts(result) == [SIGNED, MISSING, SIGNED, SIGNED, OTHER_FILES]
    assert result.layers[1].reason.startswith(f"{words}: got no such path in ")
    assert not result.is_verified


def test_a_store_whose_files_changed_signs_nothing(cache: Cache, tmp_path: Path) -> None:
    """The signature is about a NAR hash, which the files of the store must have."""
    store = cache.on_disk(tmp_path / "root")
    words = find(cache, "words")
    file = store.location(words) / "share/hello.txt"
    file.parent.chmod(0o755)
    file.chmod(0o644)
    file.write_bytes(b"jello\n")
    with store.writing() as database:
        for path, known in cache.narinfos.items():
            database.execute("UPDATE ValidPaths SET sigs = ? WHERE path = ?", (" ".join(known.signatures), str(path)))
    build(cache, tmp_path / "image.tar", store=store.root)
    result = verify(cache, tmp_path / "image.tar", store=store.root)
    assert list_verdicts(result)[:2] == [SIGNED, REPRODUCED]
    assert f"{words}: got NAR hash" in result.layers[1].unsigned_paths[0].reason


@pytest.mark.parametrize("method", METHODS)
def test_content_addressed_paths_need_no_signature(method: str, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", key=None)
    path = cache.add("file", File(b"content"), method=method)
    lamina.build_layered_image(
        name="x", closure=[str(path)], store=cache.url, output=tmp_path / "image.tar", trusted_keys=str(KEY.public)
    )
    result = verify(cache, tmp_path / "image.tar")
    assert list_verdicts(result) == [SIGNED, OTHER_FILES]
    assert result.layers[0].checked_paths[0].key == "content address"


def test_an_image_that_lies_about_its_paths_differs(cache: Cache, tmp_path: Path) -> None:
    """An attacker changes a layer and makes all digests anew; only the store paths tell."""
    build(cache, tmp_path / "image.tar")
    words = find(cache, "words")
    other = Cache(tmp_path / "other")
    example(other)
    other.add("words-2.1", {b"share": {b"hello.txt": File(b"hello\n"), b"empty": File(), b"evil": File()}})
    build(other, tmp_path / "evil.tar")
    (layer,) = verify(cache, tmp_path / "evil.tar").failures
    assert (layer.verdict, layer.differing_path) == (DIFFERS, words)
    assert layer.reason == f"{words}/share/evil: got a file, expected nothing"


def test_a_layer_above_that_changes_a_store_path_is_a_warning(cache: Cache, tmp_path: Path) -> None:
    words = find(cache, "words")
    (tmp_path / "evil").write_bytes(b"evil")
    build(cache, tmp_path / "image.tar", tree=[lamina.File(f"{words}/evil", str(tmp_path / "evil"))])
    result = verify(cache, tmp_path / "image.tar")
    assert result.is_verified
    (warning,) = result.warnings
    assert warning.startswith("layer 5 is not proven, and has ")
    assert words.base in warning


def test_a_layer_whose_files_cannot_be_listed_is_a_warning(cache: Cache, tmp_path: Path) -> None:
    (tmp_path / "image.tar").write_bytes(docker_archive({"layer.tar": b"x" * 512}))
    result = verify(cache, tmp_path / "image.tar")
    assert list_verdicts(result) == [OTHER_FILES]
    assert result.warnings[0].startswith("layer 1 is not proven, and its files cannot be listed: tar at byte 0: got")


def test_the_progress_has_an_item_for_each_layer(cache: Cache, tmp_path: Path) -> None:
    build(cache, tmp_path / "image.tar")
    progress = RecordedProgress()
    verify(cache, tmp_path / "image.tar", progress=progress)
    assert [item.name for item in progress.works[-1].items][-2:] == ["hello-2.12.1", "customisation layer"]


# --- images in a registry


@pytest.fixture
def registry(cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryRegistry]:
    with serve_open_registry(tmp_path, monkeypatch) as server:
        yield server


def push(cache: Cache, registry: MemoryRegistry, tmp_path: Path, **more: Any) -> str:
    build(cache, tmp_path / "pushed.tar", **more)
    to = f"{registry.host}/me/app:1"
    lamina.push_image(tmp_path / "pushed.tar", to=to)
    registry.seen.clear()
    return to


def list_blob_requests(registry: MemoryRegistry) -> list[str]:
    return [request.path.rpartition("/")[2] for request in registry.seen if "/blobs/" in request.path]


@pytest.mark.parametrize("sends_ranges", [True, False])
def test_of_an_image_in_a_registry_one_header_is_read(
    sends_ranges: bool, cache: Cache, registry: MemoryRegistry, tmp_path: Path
) -> None:
    registry.sends_ranges = sends_ranges
    result = verify(cache, push(cache, registry, tmp_path, uid=1000))
    assert list_verdicts(result) == [SIGNED] * 4 + [OTHER_FILES]
    assert not result.is_whole
    assert len(list_blob_requests(registry)) == 2  # the config and the first layer
    assert result.bytes_read == result.layers[0].size


def test_full_reads_every_layer_of_an_image_in_a_registry(
    cache: Cache, registry: MemoryRegistry, tmp_path: Path
) -> None:
    result = verify(cache, push(cache, registry, tmp_path), full=True)
    assert list_verdicts(result) == [SIGNED] * 4 + [OTHER_FILES]
    assert result.is_whole
    assert {str(layer.digest) for layer in result.layers} <= set(list_blob_requests(registry))


def test_a_layer_in_a_registry_that_differs_is_read_and_named(
    cache: Cache, registry: MemoryRegistry, tmp_path: Path
) -> None:
    reference = push(cache, registry, tmp_path)
    shell = find(cache, "sh-5")
    changed = Cache(tmp_path / "changed")
    example(changed)
    changed.add("sh-5", {b"bin": {b"sh": File(b"#!/on\n", executable=True)}}, changed.references(shell))
    (layer,) = verify(changed, reference).failures
    assert (layer.verdict, layer.differing_path) == (DIFFERS, shell)
    assert layer.reason.startswith(f"{shell}/bin/sh: got other content at byte 3 of 6")
