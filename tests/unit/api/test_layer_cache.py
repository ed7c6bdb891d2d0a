"""Verification of the layer cache: wrong entries are found and removed, and no others."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import shutil
import sqlite3
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.factories import MemoryStore
from tests.support.fake_nix_store import FakeStore, example, put, store_path, write_graph
from tests.support.progress import RecordedProgress

import lamina
from lamina.api.layer_cache import LayerCacheCheck
from lamina.core.names import Digest, StorePath
from lamina.core.nodes import Node
from lamina.core.progress import ProgressItem
from lamina.errors import InvalidArgument, NotFound, Unavailable
from lamina.formats.listing import Listing
from lamina.layer_cache.cache import LayerCache
from lamina.stores.local.database import LocalStore
from lamina.system.transfer import BlobInfo
from lamina.system.walk import list_tree

DATA, HELLO = store_path("words-2.1-data"), store_path("hello-2.12.1")
TEXT = "share/hello.txt"


@pytest.fixture
def store(tmp_path: Path) -> FakeStore:
    return example(tmp_path / "root")[0]


@pytest.fixture
def file(store: FakeStore, tmp_path: Path) -> Path:
    """A layer cache that knows an image of four layers, a store path in each."""
    file = tmp_path / "cache" / "layer_cache"
    build_image(store, file)
    return file


def build_image(store: FakeStore, file: Path | None, **arguments: Any) -> lamina.Image:
    """Build the image of hello, and check that its layers have the digests that it says."""
    out = io.BytesIO()
    made = write_image(store, file, out, **arguments)
    out.seek(0)
    with tarfile.open(fileobj=out) as archive:
        for number, layer in enumerate(made.layers, 1):
            data = archive.extractfile(f"{number}.tar")
            assert data
            assert hashlib.sha256(data.read()).digest() == layer.diff_id.raw
    return made


def write_image(store: FakeStore, file: Path | None, out: io.BytesIO, **arguments: Any) -> lamina.Image:
    stream = lamina.stream_layered_image(contents=["hello"], store=store.root, layer_cache=file, **arguments)
    return stream.write_to(out)


def verify(store: FakeStore, file: Path, **arguments: Any) -> LayerCacheCheck:
    """Verify the layer cache; there are no warnings."""
    checked = lamina.verify_layer_cache(layer_cache=file, store=store.root, **arguments)
    assert (checked.warnings, checked.exists) == ((), True)
    return checked


@contextlib.contextmanager
def open_cache(file: Path) -> Iterator[LayerCache]:
    warnings: list[str] = []
    with LayerCache.open(file, warnings.append) as found:
        yield found
    assert warnings == []


def cached_paths(file: Path) -> set[StorePath]:
    """Return the paths in the layers that the layer cache has."""
    with open_cache(file) as found:
        return {path for inputs, _ in found.entries() for path in inputs.paths}


def location(store: FakeStore, path: StorePath) -> tuple[bytes, Digest]:
    """Return where ``path`` lies, and its NAR hash in the database."""
    return os.fsencode(store.location(path)), LocalStore(store.root).query([path])[path].nar_hash


def listed_paths(store: FakeStore, file: Path) -> set[StorePath]:
    """Return the paths of which the layer cache has a listing."""
    with open_cache(file) as found:
        return {path for path in store.numbers if found.get_listings([location(store, path)])}


def read_files(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {entry.name: (entry.stat().st_mtime_ns, entry.read_bytes()) for entry in folder.iterdir()}


@contextlib.contextmanager
def preserve_dates(*files: Path) -> Iterator[None]:
    """Set the dates of ``files`` back after the block."""
    before = [(item, item.lstat().st_mtime_ns) for item in files]
    yield
    for item, date in before:
        os.utime(item, ns=(date, date), follow_symlinks=False)


def overwrite(file: Path, data: bytes) -> None:
    """Write other bytes of the same length, and keep the date."""
    assert len(data) == file.stat().st_size
    with preserve_dates(file):
        file.chmod(0o644)
        file.write_bytes(data)
        file.chmod(0o444)


class RecordingProgress(RecordedProgress):
    """Also calls ``before`` before each layer."""

    def __init__(self, before: Callable[[ProgressItem], object] = str) -> None:
        super().__init__()
        self._before = before

    def start(self, item: ProgressItem) -> None:
        super().start(item)
        self._before(item)


# Intact layers


def test_a_clean_layer_cache_is_as_it_was_and_is_not_written(store: FakeStore, file: Path) -> None:
    before = read_files(file.parent)
    checked = verify(store, file)
    assert checked == LayerCacheCheck(intact=4)
    assert checked.layers == 4
    assert read_files(file.parent) == before


def test_layers_of_any_owner_and_date_are_packed_as_they_were(store: FakeStore, file: Path) -> None:
    build_image(store, file, uid=7, gname="users")
    build_image(store, file, mtime="2020-01-01")
    build_image(store, file, max_layers=2)
    assert verify(store, file) == LayerCacheCheck(intact=13)


def test_each_layer_is_read_once_and_each_path_once(
    store: FakeStore, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_image(store, file, max_layers=2)
    progress = RecordingProgress()
    # The bytes that are read, instead of those that items are expected to have.
    monkeypatch.setattr("lamina.api.layer_cache.ProgressReporter", lambda reported: reported)
    assert verify(store, file, progress=progress) == LayerCacheCheck(intact=5)
    with open_cache(file) as found:
        tars = sum(blob_info.size for _, blob_info in found.entries())
    nars = sum(info.nar_size for info in LocalStore(store.root).query(store.numbers).values())
    assert sum(call[2] for call in progress.calls if call[0] == "advance") == tars + nars
    assert [call[:3:2] for call in progress.calls if call[0] == "finish"] == [("finish", "intact")] * 5
    assert (progress.calls[0], progress.calls[-1]) == (("begin", 5), ("done",))
    for item in progress.works[0].items:
        line = item.subject.headline(item.number)
        assert line.startswith(f"Checking layer {item.number} of paths: ['/nix/store/")


def test_a_store_that_has_no_files_is_asked_for_what_its_paths_are_made_of(store: FakeStore, file: Path) -> None:
    local = LocalStore(store.root)

    class StoreWithoutFiles(MemoryStore):
        def nodes(self, path: StorePath) -> Sequence[Node]:
            return tuple(local.nodes(path))

    memory = StoreWithoutFiles(local.query(store.numbers).values())
    assert lamina.verify_layer_cache(layer_cache=file, store=memory) == LayerCacheCheck(intact=4)
    overwrite(store.location(DATA) / TEXT, b"jello\n")
    checked = lamina.verify_layer_cache(layer_cache=file, store=memory)
    assert [layer.paths for layer in checked.damaged] == [(DATA,)]


def test_a_graph_says_what_is_valid_too(store: FakeStore, file: Path, tmp_path: Path) -> None:
    graph = write_graph(store, tmp_path / "graph.json")
    store.database.unlink()
    store.schema.unlink()
    shutil.rmtree(store.location(HELLO))
    checked = lamina.verify_layer_cache(layer_cache=file, store=[graph, store.root])
    assert checked == LayerCacheCheck(intact=3, absent=1)


# Damaged layers


def test_a_file_that_was_changed_and_given_its_old_date_is_found(store: FakeStore, file: Path) -> None:
    before = build_image(store, None)
    overwrite(store.location(DATA) / TEXT, b"jello\n")
    assert write_image(store, file, io.BytesIO()) == before, "which is why there is something to recheck"
    (layer,) = verify(store, file).damaged
    nar_hash = location(store, DATA)[1]
    assert layer.paths == (DATA,)
    assert layer.diff_id in {layer.diff_id for layer in before.layers}
    assert layer.reason.startswith(f"{DATA}: got NAR hash sha256:")
    assert layer.reason.endswith(f", expected {nar_hash}")
    assert cached_paths(file) == listed_paths(store, file) == set(store.numbers) - {DATA}


def test_a_removed_layer_is_hashed_again(store: FakeStore, file: Path) -> None:
    overwrite(store.location(DATA) / TEXT, b"jello\n")
    assert len(verify(store, file).damaged) == 1
    assert verify(store, file) == LayerCacheCheck(intact=3)
    assert build_image(store, file) == build_image(store, None)
    assert len(verify(store, file).damaged) == 1, "the path itself is still damaged"
    overwrite(store.location(DATA) / TEXT, b"hello\n")
    build_image(store, file)
    assert verify(store, file) == LayerCacheCheck(intact=4)


def test_every_layer_with_a_damaged_path_is_removed(store: FakeStore, file: Path) -> None:
    build_image(store, file, uid=7)
    build_image(store, file, max_layers=2)
    overwrite(store.location(DATA) / TEXT, b"jello\n")
    checked = verify(store, file)
    assert [checked.intact, len(checked.damaged), checked.absent] == [6, 3, 0]
    assert len({layer.reason for layer in checked.damaged}) == 1
    assert all(DATA in layer.paths for layer in checked.damaged)


def _link_elsewhere(store: FakeStore) -> None:
    link = store.location(HELLO) / "share"
    target = os.readlink(link)
    with preserve_dates(link, link.parent):
        link.unlink()
        link.symlink_to(target[:-1] + "x")


def _add(store: FakeStore) -> None:
    with preserve_dates(store.location(HELLO)):
        put(store.location(HELLO) / "new", b"")


def _take(store: FakeStore) -> None:
    with preserve_dates(store.location(HELLO)):
        (store.location(HELLO) / "share").unlink()


def _make_a_pipe(store: FakeStore) -> None:
    os.mkfifo(store.location(HELLO) / "pipe")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_link_elsewhere, "got NAR hash"),
        (lambda store: (store.location(HELLO) / "bin/hello").chmod(0o444), "got NAR hash"),
        (_add, "got NAR hash"),
        (_take, "got NAR hash"),
        (_make_a_pipe, "got a named pipe"),
    ],
)
def test_every_kind_of_change_is_found(
    store: FakeStore, file: Path, change: Callable[[FakeStore], object], reason: str
) -> None:
    change(store)
    (layer,) = verify(store, file).damaged
    assert layer.paths == (HELLO,)
    assert reason in layer.reason
    assert cached_paths(file) == listed_paths(store, file) == set(store.numbers) - {HELLO}


def test_a_file_that_changes_while_it_is_read_is_found(store: FakeStore, file: Path) -> None:
    target = store.location(DATA) / TEXT

    class ChangingProgress(RecordingProgress):
        def advance(self, item: ProgressItem, size: int) -> None:
            if item.name == DATA.name:
                target.chmod(0o644)
                target.write_bytes(b"something longer\n")

    (layer,) = verify(store, file, progress=ChangingProgress()).damaged
    assert layer.paths == (DATA,)
    assert layer.reason.endswith(f"{TEXT}: got 17 bytes, expected 6: the file changed while it was read")


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (lambda found: BlobInfo(Digest(bytes(32)), found.size), r"tar: got sha256:\w+, expected sha256:0{64}"),
        (lambda found: BlobInfo(found.digest, 512), r"tar: got \d+ bytes, expected 512"),
    ],
)
def test_a_wrong_entry_of_a_layer_is_found(
    store: FakeStore, file: Path, wrong: Callable[[BlobInfo], BlobInfo], reason: str
) -> None:
    with open_cache(file) as found:
        inputs, blob_info = next(iter(found.entries()))
        found.put_layer(inputs, wrong(blob_info))
    (layer,) = verify(store, file).damaged
    assert (layer.diff_id, layer.paths) == (wrong(blob_info).digest, inputs.paths)
    assert re.fullmatch(reason, layer.reason)
    assert verify(store, file) == LayerCacheCheck(intact=3)


# Listings


def test_a_wrong_listing_is_found(store: FakeStore, file: Path) -> None:
    where = location(store, DATA)
    for wrong in (Listing(()).dump(), b"garbage", _listing(store, HELLO)):
        with open_cache(file) as found:
            found.put_listing(*where, wrong)
        (layer,) = verify(store, file).damaged
        assert layer.paths == (DATA,)
        assert cached_paths(file) == listed_paths(store, file) == set(store.numbers) - {DATA}
        build_image(store, file)
    assert verify(store, file) == LayerCacheCheck(intact=4)


def _listing(store: FakeStore, path: StorePath) -> bytes:
    found = list_tree(os.fsencode(store.location(path)))
    assert found
    return found.dump()


def test_a_file_with_another_date_is_intact_and_its_date_is_stored(store: FakeStore, file: Path) -> None:
    os.utime(store.location(DATA) / TEXT, ns=(1, 1))
    assert verify(store, file) == LayerCacheCheck(intact=4)
    with open_cache(file) as found:
        where = location(store, DATA)
        assert found.get_listings([where]) == {where: _listing(store, DATA)}
    before = read_files(file.parent)
    assert verify(store, file) == LayerCacheCheck(intact=4)
    assert read_files(file.parent) == before


# Absent paths


def test_a_path_that_is_gone_is_counted_and_its_layers_are_kept(store: FakeStore, file: Path) -> None:
    build_image(store, file, max_layers=2)
    shutil.rmtree(store.location(DATA))
    assert verify(store, file) == LayerCacheCheck(intact=3, absent=2)
    assert cached_paths(file) == set(store.numbers)


def test_a_path_that_is_not_valid_any_more_is_gone(store: FakeStore, file: Path) -> None:
    with store.writing() as database:
        database.execute("DELETE FROM ValidPaths WHERE path = ?", (str(DATA),))
    overwrite(store.location(DATA) / TEXT, b"jello\n")
    assert verify(store, file) == LayerCacheCheck(intact=3, absent=1)
    assert cached_paths(file) == set(store.numbers)


def test_a_path_that_was_rebuilt_to_other_bytes_is_another(store: FakeStore, file: Path) -> None:
    shutil.rmtree(store.location(DATA))
    with store.writing() as database:
        database.execute("DELETE FROM ValidPaths WHERE path = ?", (str(DATA),))
    put(store.location(DATA), {"share": {"hello.txt": b"HELLO\n", "empty": b""}})
    store.register(DATA)
    assert verify(store, file) == LayerCacheCheck(intact=3, absent=1)
    with store.writing() as database:
        database.execute("INSERT INTO Refs VALUES (?, ?)", (store.numbers[HELLO], store.numbers[DATA]))
    build_image(store, file)
    assert verify(store, file) == LayerCacheCheck(intact=4, absent=1)


def test_a_path_that_goes_while_it_is_checked_is_gone(store: FakeStore, file: Path) -> None:
    def collect(item: ProgressItem) -> None:
        if item.name == DATA.name:
            shutil.rmtree(store.location(DATA))

    assert verify(store, file, progress=RecordingProgress(collect)) == LayerCacheCheck(intact=3, absent=1)
    assert cached_paths(file) == set(store.numbers)


def test_paths_without_contents_are_absent(store: FakeStore, file: Path) -> None:
    local = LocalStore(store.root)

    class Empty(MemoryStore):
        def nodes(self, path: StorePath) -> Any:
            raise NotFound(str(path))

    found = lamina.verify_layer_cache(layer_cache=file, store=Empty(local.query(store.numbers).values()))
    assert found == LayerCacheCheck(absent=4)


def test_a_store_that_cannot_be_asked_is_an_error(store: FakeStore, file: Path) -> None:
    store.database.write_bytes(b"garbage" * 1000)
    with pytest.raises(Unavailable):
        verify(store, file)
    with open_cache(file) as found:
        assert len(list(found.entries())) == 4


# The layer cache's file


def test_a_layer_cache_that_is_not_there_is_not_made(store: FakeStore, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("none", "deep/none", "file/none", "link"):
        checked = lamina.verify_layer_cache(layer_cache=tmp_path / name, store=store.root)
        assert checked == LayerCacheCheck(exists=False)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "link", "root"]


def test_an_empty_layer_cache_has_no_layers(store: FakeStore, tmp_path: Path) -> None:
    with open_cache(tmp_path / "layer_cache"):
        pass
    (tmp_path / "empty").touch()
    for name in ("layer_cache", "empty"):
        assert verify(store, tmp_path / name) == LayerCacheCheck()


def test_a_damaged_file_is_replaced_with_a_warning(store: FakeStore, file: Path) -> None:
    file.write_bytes(file.read_bytes()[:2000])
    checked = lamina.verify_layer_cache(layer_cache=file, store=store.root)
    assert replace(checked, warnings=()) == LayerCacheCheck()
    assert len(checked.warnings) == 1
    assert "the file was deleted, and a new layer cache is created" in checked.warnings[0]
    assert sqlite3.connect(file).execute("SELECT * FROM entries").fetchall() == []


def test_a_damaged_row_is_found_too(store: FakeStore, file: Path) -> None:
    with closing(sqlite3.connect(file)) as other, other:
        other.execute("UPDATE entries SET value = x'00' WHERE key >= x'6c61'")
    checked = lamina.verify_layer_cache(layer_cache=file, store=store.root)
    assert replace(checked, warnings=()) == LayerCacheCheck()
    assert "an entry with a wrong checksum" in checked.warnings[0]


def test_a_file_that_is_not_a_layer_cache_is_left_as_it_is(store: FakeStore, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    checked = lamina.verify_layer_cache(layer_cache=tmp_path / "folder", store=store.root)
    assert replace(checked, warnings=()) == LayerCacheCheck()
    assert len(checked.warnings) == 1
    assert list((tmp_path / "folder").iterdir()) == []


@pytest.mark.parametrize("layer_cache", [None, "", "a\0b", 7])
def test_a_layer_cache_has_a_name(layer_cache: Any, store: FakeStore) -> None:
    with pytest.raises(InvalidArgument, match="layer_cache: got "):
        lamina.verify_layer_cache(layer_cache=layer_cache, store=store.root)
