"""Layers become blobs in a store of blobs: in order, each once, and none that is there already."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tests.support.factories import File, Item, MemoryStore, info, packed_bytes, path
from tests.support.fake_nix_store import example, layer_cache_at
from tests.support.progress import RecordedProgress

import lamina
from lamina.compression.compressors import LayerCompression
from lamina.compression.decoders import decode_pieces
from lamina.core.names import StorePath
from lamina.core.progress import ProgressItem
from lamina.formats.tar import Owner
from lamina.images.blob_cache import BlobCache
from lamina.layer_cache.cache import LayerCache
from lamina.layering.plans import LayerPlan
from lamina.layers.blob_writer import BlobWriter, OnStored, WrittenBlob
from lamina.layers.context import BuildContext
from lamina.layers.layer import StoreLayer
from lamina.system.transfer import BlobInfo, hash_pieces

TREES: dict[StorePath, Item] = {path("A"): {b"a": File(b"a" * 5000)}, path("B"): File(b"b")}
SOURCES = [StoreLayer(LayerPlan.of([info(name)], ""), MemoryStore((), TREES).nodes, Owner(), 1) for name in ("A", "B")]


class FolderOfBlobs:
    """A `BlobStore` in a folder that also counts the files that were created."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.created = 0

    def find(self, blobs: Collection[BlobInfo]) -> Mapping[BlobInfo, str]:
        return {blob: "reused" for blob in blobs if (self.folder / blob.digest.hex).exists()}

    def create(self) -> Path:
        self.created += 1
        part = self.folder / f"part-{self.created}"
        part.touch()
        return part

    def commit(self, part: Path, blob: BlobInfo, made: str, item: ProgressItem, on_stored: OnStored) -> None:
        outcome = self.find([blob]).get(blob, made)
        part.rename(self.folder / blob.digest.hex)
        on_stored(outcome)


def write(context: BuildContext, compression: str, blobs: FolderOfBlobs) -> list[WrittenBlob]:
    with BlobWriter(SOURCES, context, LayerCompression.parse(compression), blobs) as writer:
        return list(writer)


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd:1"])
@pytest.mark.parametrize("jobs", [1, 2])
def test_each_layer_is_a_blob_of_its_digest(tmp_path: Path, compression: str, jobs: int) -> None:
    blobs = FolderOfBlobs(tmp_path)
    written = write(BuildContext(jobs=jobs, min_parallel_size=0), compression, blobs)
    assert [found.source for found in written] == SOURCES
    for found in written:
        data = (tmp_path / found.blob.digest.hex).read_bytes()
        assert hash_pieces([data]) == found.blob
        plain = b"".join(decode_pieces([data], compression.partition(":")[0]))
        assert plain == packed_bytes(found.source.pack())
        assert (found.layer.diff_id, found.layer.size) == (hash_pieces([plain]).digest, len(plain))
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("compression", ["gzip", "zstd:1"])
def test_a_layer_that_is_much_larger_than_the_others_has_the_same_bytes_with_any_number_of_threads(
    tmp_path: Path, compression: str
) -> None:
    """A layer is compressed with its share of the threads, by size."""
    trees: dict[StorePath, Item] = {path("A"): {b"a": File(bytes(range(256)) * 20_000)}, path("B"): File(b"b")}
    nodes = MemoryStore((), trees).nodes
    sources = [
        StoreLayer(LayerPlan.of([info(name, size=size)], ""), nodes, Owner(), 1)
        for name, size in (("A", 5_120_000), ("B", 1))
    ]
    found = []
    for jobs in (1, 2, 5):
        folder = tmp_path / str(jobs)
        folder.mkdir()
        context = BuildContext(jobs=jobs, min_parallel_size=0)
        with BlobWriter(sources, context, LayerCompression.parse(compression), FolderOfBlobs(folder)) as writer:
            found.append([written.blob for written in writer])
    assert found[0] == found[1] == found[2]


def test_a_blob_that_is_stored_already_is_not_written_again(tmp_path: Path) -> None:
    blobs = FolderOfBlobs(tmp_path / "blobs")
    blobs.folder.mkdir()
    with LayerCache.open(tmp_path / "cache", len) as layer_cache:
        context = BuildContext(layer_cache)
        first = write(context, "gzip", blobs)
        assert write(context, "gzip", blobs) == first
        assert blobs.created == 2
        (blobs.folder / first[0].blob.digest.hex).unlink()
        assert write(context, "gzip", blobs) == first
        assert blobs.created == 3


def test_a_blob_that_turns_out_to_be_stored_is_reused(tmp_path: Path) -> None:
    blobs = FolderOfBlobs(tmp_path)
    write(BuildContext(), "none", blobs)
    progress = RecordedProgress()
    with BlobWriter(SOURCES, BuildContext(), LayerCompression.parse("none"), blobs, progress) as writer:
        assert len(list(writer)) == 2
    assert [call[2] for call in progress.calls if call[0] == "finish"] == ["reused", "reused"]


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_layer_advances_by_its_expected_size_between_its_start_and_its_end(tmp_path: Path, jobs: int) -> None:
    progress = RecordedProgress()
    context = BuildContext(jobs=jobs, min_parallel_size=0)
    with BlobWriter(SOURCES, context, LayerCompression.parse("gzip"), FolderOfBlobs(tmp_path), progress) as writer:
        written = list(writer)
    for number, found in enumerate(written, 1):
        calls = [call for call in progress.calls if call[1] == number]
        assert calls == [
            ("start", number),
            ("advance", number, found.source.weight),
            ("finish", number, "packed", found.layer.size),
        ]


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_workers_write_the_blobs_that_this_process_writes(tmp_path: Path, compression: str) -> None:
    """The store paths are files on this machine, so that a worker process lists and reads them."""
    store, _ = example(tmp_path / "root")
    draft = lamina.stream_layered_image(
        name="x", contents=["hello"], store=str(store.root), architecture="amd64", layer_cache=None
    ).draft
    written = []
    for jobs in (1, 2):
        blobs = FolderOfBlobs(tmp_path / str(jobs))
        blobs.folder.mkdir()
        context = BuildContext(jobs=jobs, min_parallel_size=0)
        with BlobWriter(draft.layers, context, LayerCompression.parse(compression), blobs) as writer:
            written.append([(found.layer, found.blob) for found in writer])
        assert len(list(blobs.folder.iterdir())) == len(draft.layers)
    assert written[0] == written[1]


@pytest.fixture
def kept(tmp_path: Path) -> BlobCache:
    return BlobCache(tmp_path / "kept")


def write_new(
    tmp_path: Path, kept: BlobCache, layer_cache: LayerCache, compression: str, jobs: int = 1
) -> tuple[list[BlobInfo], list[str]]:
    """Write all layers to a new folder; return their blobs, and the words for how each was made."""
    progress = RecordedProgress()
    context = BuildContext(layer_cache, jobs, min_parallel_size=0, blobs=kept)
    with TemporaryDirectory(dir=tmp_path) as folder:
        blobs = FolderOfBlobs(Path(folder))
        with BlobWriter(SOURCES, context, LayerCompression.parse(compression), blobs, progress) as writer:
            written = [found.blob for found in writer]
        for blob in written:
            assert hash_pieces([(blobs.folder / blob.digest.hex).read_bytes()]) == blob
        assert len(list(blobs.folder.iterdir())) == len(written), "no part is left"
    return written, [call[2] for call in progress.calls if call[0] == "finish"]


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_compressed_layer_that_was_kept_is_not_made_again(tmp_path: Path, kept: BlobCache, jobs: int) -> None:
    with LayerCache.open(tmp_path / "cache", len) as layer_cache:
        first, outcomes = write_new(tmp_path, kept, layer_cache, "gzip", jobs)
        assert outcomes == ["packed", "packed"]
        assert write_new(tmp_path, kept, layer_cache, "gzip", jobs) == (first, ["copied", "copied"])


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_kept_layer_that_is_missing_or_damaged_is_made_and_kept_again(
    tmp_path: Path, kept: BlobCache, jobs: int
) -> None:
    with LayerCache.open(tmp_path / "cache", len) as layer_cache:
        first, _ = write_new(tmp_path, kept, layer_cache, "gzip", jobs)
        files = [kept.folder / "sha256" / blob.digest.hex for blob in first]
        files[0].unlink()
        files[1].write_bytes(files[1].read_bytes()[:-1] + b"x")
        assert write_new(tmp_path, kept, layer_cache, "gzip", jobs) == (first, ["packed", "packed"])
        assert write_new(tmp_path, kept, layer_cache, "gzip", jobs) == (first, ["copied", "copied"])


def test_uncompressed_layers_are_not_kept(tmp_path: Path, kept: BlobCache) -> None:
    with LayerCache.open(tmp_path / "cache", len) as layer_cache:
        write_new(tmp_path, kept, layer_cache, "none")
    assert not kept.list_blobs()


def test_layers_that_are_verified_are_made_and_not_taken(tmp_path: Path, kept: BlobCache) -> None:
    with LayerCache.open(tmp_path / "cache", len) as layer_cache:
        write_new(tmp_path, kept, layer_cache, "gzip")
        progress, blobs = RecordedProgress(), FolderOfBlobs(tmp_path)
        context = BuildContext(layer_cache, verify=True, blobs=kept)
        with BlobWriter(SOURCES, context, LayerCompression.parse("gzip"), blobs, progress) as writer:
            assert len(list(writer)) == 2
    assert [call[2] for call in progress.calls if call[0] == "finish"] == ["packed", "packed"]


def test_only_store_paths_of_layers_that_must_be_made_are_downloaded(tmp_path: Path) -> None:
    asked: list[StorePath] = []
    with layer_cache_at(tmp_path / "layers.sqlite") as layer_cache:
        context = BuildContext(layer_cache)
        blobs = FolderOfBlobs(tmp_path)
        sources = [replace(source, prefetch_paths=asked.extend) for source in SOURCES]

        def write_all() -> list[StorePath]:
            asked.clear()
            with BlobWriter(sources, context, LayerCompression.parse("none"), blobs) as writer:
                assert len(list(writer)) == len(sources)
            return list(asked)

        assert write_all() == [path("A"), path("B")]
        assert write_all() == []
