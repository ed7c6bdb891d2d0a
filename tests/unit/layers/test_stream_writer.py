"""Tests of the layer stream: equal bytes for any number of workers and any contents of the layer cache."""

from __future__ import annotations

import gc
import io
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from tests.support.fake_nix_store import FakeStore, Program, SymlinkTo, example, layer_cache_at

import lamina
from lamina.core.callbacks import ignore
from lamina.core.names import Digest
from lamina.core.nodes import Extent
from lamina.errors import IntegrityError, NotFound
from lamina.images.image import Draft, Image
from lamina.images.writers.docker_archive import DockerArchive
from lamina.layer_cache.cache import NullLayerCache
from lamina.layers.context import BuildContext
from lamina.layers.layer import FinishedLayer, StoreLayer
from lamina.layers.packed import ListedLayer
from lamina.layers.stream_writer import LayerStream
from lamina.stores.store import adapt_store
from lamina.system.fd_writer import FdWriter, FunctionOutput


@pytest.fixture
def store(tmp_path: Path) -> FakeStore:
    store, _ = example(tmp_path / "root")
    store.add(
        "large-1", {"data": b"0123456789abcdef" * 20_000, "link": SymlinkTo("data"), "run": Program(b"#!" * 40_000)}
    )
    return store


def make_draft(store: FakeStore, *roots: str, **arguments: Any) -> Draft:
    made = lamina.stream_layered_image(
        name="x", contents=roots or ("hello", "large"), store=str(store.root), architecture="amd64", **arguments
    )
    return made.draft


def write_to_memory(draft: Draft, context: BuildContext | None = None) -> tuple[bytes, Image]:
    out = io.BytesIO()
    image = DockerArchive(FunctionOutput(out.write), None, context).write(draft)
    return out.getvalue(), image


def write_to_pipe(draft: Draft, context: BuildContext) -> tuple[bytes, Image]:
    """Write like `write_to_memory`, but to a file descriptor, to which the kernel copies large files."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as cat:
        assert cat.stdin
        assert cat.stdout
        taken = bytearray()

        def read() -> None:
            assert cat.stdout
            taken.extend(cat.stdout.read())

        reader = Thread(target=read)
        reader.start()
        image = DockerArchive(FdWriter(cat.stdin.fileno(), "pipe"), None, context).write(draft)
        cat.stdin.close()
        reader.join()
    return bytes(taken), image


@pytest.mark.parametrize("jobs", [2, 4])
@pytest.mark.parametrize("write", [write_to_memory, write_to_pipe])
def test_workers_make_the_image_that_one_process_makes(
    store: FakeStore, jobs: int, write: Callable[[Draft, BuildContext], tuple[bytes, Image]]
) -> None:
    made = make_draft(store)
    assert write(made, BuildContext(NullLayerCache(), jobs, min_parallel_size=0)) == write_to_memory(made)


def test_images_are_right_when_no_worker_can_be_started(store: FakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process then fills the shared buffer itself, image after image."""
    monkeypatch.setattr(sys, "executable", "")
    for roots in (("hello", "large"), ("large",), ("hello",)):
        made = make_draft(store, *roots)
        assert write_to_memory(made, BuildContext(NullLayerCache(), 2, min_parallel_size=0)) == write_to_memory(made)


@pytest.mark.parametrize("min_parallel_size", [0, 1 << 40])
@pytest.mark.parametrize("write", [write_to_memory, write_to_pipe])
def test_a_warm_layer_cache_gives_the_same_image(
    store: FakeStore,
    tmp_path: Path,
    min_parallel_size: int,
    write: Callable[[Draft, BuildContext], tuple[bytes, Image]],
) -> None:
    made = make_draft(store)
    expected = write_to_memory(made)
    for _ in range(3):
        with layer_cache_at(tmp_path / "layer_cache") as layer_cache:
            assert write(made, BuildContext(layer_cache, 2, min_parallel_size=min_parallel_size)) == expected


_COUNT_OPENS = """
import os, sys
import lamina

root, layer_cache, name = sys.argv[1:]
opened = []
sys.addaudithook(lambda event, arguments: opened.append(arguments[0]) if event == "open" else None)
with open(os.devnull, "wb") as out:
    lamina.stream_layered_image(name="x", contents=["hello", "large"], store=root,
    layer_cache=layer_cache).write_to(out)
print(sum(os.fsdecode(file) == name for file in opened if isinstance(file, (str, bytes))))
"""


@pytest.mark.integration
def test_a_changed_mtime_costs_one_more_read_of_the_file_once(store: FakeStore, tmp_path: Path) -> None:
    file = location_of(store, "large-1") / "data"
    command = [sys.executable, "-c", _COUNT_OPENS, str(store.root), str(tmp_path / "layer_cache"), str(file)]
    opened = []
    for mtime in (None, None, 5, None, None):
        if mtime:
            os.utime(file, ns=(0, mtime))
        opened.append(int(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))
    assert opened == [1, 1, 2, 1, 1]


_COUNT_LISTED_FOLDERS = """
import os, sys
import lamina

root, layer_cache, output = sys.argv[1:]
folders = []

def watch(event, arguments):
    if event in ("os.scandir", "os.listdir") and os.fsdecode(arguments[0]).startswith(root):
        folders.append(os.fsdecode(arguments[0]))

sys.addaudithook(watch)
made = lamina.stream_layered_image(name="x", contents=["hello", "large"], store=root, layer_cache=layer_cache,
extras=["sh"])
image = made.write_to(open(output, "wb"))
print(image.id, len(folders))
"""


def test_a_warm_run_walks_nothing(store: FakeStore, tmp_path: Path) -> None:
    store.add("bash-5", {"bin": {"bash": Program(b"#!/no\n")}})
    outputs = []
    for number in range(2):
        command = [
            sys.executable,
            "-c",
            _COUNT_LISTED_FOLDERS,
            *map(str, (store.root, tmp_path / "layer_cache", tmp_path / f"{number}.tar")),
        ]
        outputs.append(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())
    (first_id, cold_count), (second_id, warm_count) = outputs
    assert first_id == second_id
    assert int(cold_count) > 0
    assert warm_count == "0"
    assert (tmp_path / "0.tar").read_bytes() == (tmp_path / "1.tar").read_bytes()


def test_the_same_path_with_other_bytes_and_another_nar_hash_is_not_taken_for_the_old_one(
    store: FakeStore, tmp_path: Path
) -> None:
    """A rebuilt path may have equal sizes and modification times."""
    with layer_cache_at(tmp_path / "layer_cache") as layer_cache:
        before = write_to_memory(make_draft(store), BuildContext(layer_cache))
    path = next(path for path in store.numbers if path.name == "large-1")
    file = store.location(path) / "data"
    rewrite(file)
    with store.writing() as database:
        database.execute("DELETE FROM ValidPaths WHERE path = ?", (str(path),))
    store.register(path)
    with layer_cache_at(tmp_path / "layer_cache") as layer_cache:
        after = write_to_memory(make_draft(store), BuildContext(layer_cache))
    assert after == write_to_memory(make_draft(store))
    assert after != before


def rewrite(file: Path, *, touched: bool = False) -> None:
    """Overwrite a file with as many other bytes; keep its modification time unless ``touched``."""
    status = file.stat()
    file.chmod(0o644)
    file.write_bytes(bytes(status.st_size))
    file.chmod(status.st_mode)
    os.utime(file, ns=(0, status.st_mtime_ns + touched))


def location_of(store: FakeStore, name: str) -> Path:
    return store.location(next(path for path in store.numbers if path.name == name))


def test_files_with_other_mtimes_and_the_same_bytes_give_the_same_image(store: FakeStore, tmp_path: Path) -> None:
    """A copy of a store has other modification times than the store."""
    made = make_draft(store)
    with layer_cache_at(tmp_path / "layer_cache") as layer_cache:
        expected = write_to_memory(made, BuildContext(layer_cache))
    for name in ("data", "run"):
        os.utime(location_of(store, "large-1") / name, ns=(0, 987_654_321))
    for _ in range(2):
        with layer_cache_at(tmp_path / "layer_cache") as layer_cache:
            assert write_to_memory(made, BuildContext(layer_cache)) == expected


@pytest.mark.parametrize("write", [write_to_memory, write_to_pipe])
def test_files_with_other_mtimes_and_other_bytes_are_hashed_as_they_are(
    store: FakeStore, tmp_path: Path, write: Callable[[Draft, BuildContext], tuple[bytes, Image]]
) -> None:
    """The store does not report the change, but the modification time does: the digest is of the bytes written."""
    made = make_draft(store)
    with layer_cache_at(tmp_path / "layer_cache") as layer_cache:
        before = write_to_memory(made, BuildContext(layer_cache))
    rewrite(location_of(store, "large-1") / "data", touched=True)
    expected = write_to_memory(made)
    assert expected != before
    for _ in range(2):
        with layer_cache_at(tmp_path / "layer_cache") as layer_cache:
            assert write(made, BuildContext(layer_cache)) == expected


@pytest.mark.parametrize("changed", ["touched", "other"])
def test_a_file_that_changes_after_it_was_written_and_before_it_is_hashed_ends_the_run(
    store: FakeStore, tmp_path: Path, changed: str
) -> None:
    """A touched file makes a known layer be hashed after it was written; that digest must be of the bytes written."""
    made = make_draft(store)
    with layer_cache_at(tmp_path / "layer_cache") as layer_cache:
        write_to_memory(made, BuildContext(layer_cache))
    touched = location_of(store, "large-1") / "data"
    rewrite(touched, touched=True)
    later = touched if changed == "touched" else touched.with_name("run")
    changes = iter([lambda: rewrite(later, touched=True)])
    written = bytearray()

    def write(data: memoryview) -> None:
        written.extend(data)
        if b"#!" * 40_000 in written:  # the last file of the layer
            next(changes, lambda: None)()

    with (
        layer_cache_at(tmp_path / "layer_cache") as layer_cache,
        pytest.raises(IntegrityError, match=f"{later}: got another modification time"),
    ):
        DockerArchive(FunctionOutput(write), None, BuildContext(layer_cache)).write(made)
    with layer_cache_at(tmp_path / "layer_cache") as layer_cache:
        assert write_to_memory(made, BuildContext(layer_cache)) == write_to_memory(made)


def test_a_file_with_another_mtime_and_another_mode_ends_the_run_and_the_next_one_is_right(
    store: FakeStore, tmp_path: Path
) -> None:
    """The header was made from the cached listing, so a digest of the current files would not be that of the layer."""
    made = make_draft(store)
    with layer_cache_at(tmp_path / "layer_cache") as layer_cache:
        write_to_memory(made, BuildContext(layer_cache))
    file = location_of(store, "large-1") / "run"
    rewrite(file, touched=True)
    file.chmod(0o444)
    with (
        layer_cache_at(tmp_path / "layer_cache") as layer_cache,
        pytest.raises(IntegrityError, match="got other files, expected the files that were listed before") as caught,
    ):
        write_to_memory(made, BuildContext(layer_cache))
    assert caught.value.hint.startswith("run the command again")
    with layer_cache_at(tmp_path / "layer_cache") as layer_cache:
        assert write_to_memory(made, BuildContext(layer_cache)) == write_to_memory(made)


@pytest.mark.parametrize("change", ["shrunk", "gone", "folder"])
def test_a_file_of_another_size_ends_the_run_and_the_next_one_is_right(
    store: FakeStore, tmp_path: Path, change: str
) -> None:
    made = make_draft(store)
    with layer_cache_at(tmp_path / "layer_cache") as layer_cache:
        write_to_memory(made, BuildContext(layer_cache))
    file = location_of(store, "large-1") / "data"
    file.parent.chmod(0o755)
    file.unlink()
    if change == "shrunk":
        file.write_bytes(b"small")
    elif change == "folder":
        file.mkdir()
    with (
        layer_cache_at(tmp_path / "layer_cache") as layer_cache,
        pytest.raises(IntegrityError, match=rf"^{file}: got .*, expected") as caught,
    ):
        write_to_memory(made, BuildContext(layer_cache))
    assert caught.value.hint.startswith("run the command again")
    with layer_cache_at(tmp_path / "layer_cache") as layer_cache:
        assert write_to_memory(made, BuildContext(layer_cache)) == write_to_memory(made)


def test_a_change_of_owner_or_mtime_gives_another_layer(store: FakeStore, tmp_path: Path) -> None:
    with layer_cache_at(tmp_path / "layer_cache") as layer_cache:
        write_to_memory(make_draft(store), BuildContext(layer_cache))
        for arguments in ({"uid": 1000}, {"gname": "x"}, {"mtime": "2020-01-01"}):
            made = make_draft(store, **arguments)
            assert write_to_memory(made, BuildContext(layer_cache)) == write_to_memory(made)


def test_verify_finds_bytes_that_changed_without_a_new_mtime(store: FakeStore, tmp_path: Path) -> None:
    made = make_draft(store)
    with layer_cache_at(tmp_path / "layer_cache") as layer_cache:
        write_to_memory(made, BuildContext(layer_cache))
        assert write_to_memory(made, BuildContext(layer_cache, verify=True)) == write_to_memory(made)
    rewrite(location_of(store, "large-1") / "data")
    with layer_cache_at(tmp_path / "layer_cache") as layer_cache:
        with pytest.raises(
            IntegrityError, match=r"^layer [0-9]+: got sha256:.*, expected sha256:.*, the digest in the layer cache"
        ):
            write_to_memory(made, BuildContext(layer_cache, verify=True))
        again = write_to_memory(made, BuildContext(layer_cache, verify=True))
        assert again == write_to_memory(made), "the wrong entry was removed"


def test_layers_of_a_store_without_locations_are_cached_by_nar_hash(store: FakeStore, tmp_path: Path) -> None:
    made = make_draft(store)
    inner = made.store

    class StoreWithoutLocations:
        def query(self, paths: Any) -> Any:
            return inner.query(paths)

        def nodes(self, path: Any) -> Any:
            return inner.nodes(path)

    other = replace(made, store=adapt_store(StoreWithoutLocations()))
    for _ in range(2):
        with layer_cache_at(tmp_path / "layer_cache") as layer_cache:
            assert write_to_memory(other, BuildContext(layer_cache, 2, min_parallel_size=0)) == write_to_memory(made)


@pytest.mark.parametrize("min_parallel_size", [0, 1 << 40])
def test_a_finished_layer_has_the_expected_diff_id_or_raises(
    store: FakeStore, tmp_path: Path, min_parallel_size: int
) -> None:
    made = make_draft(store)
    _, image = write_to_memory(made)
    tar = tmp_path / "layer.tar"
    tar.write_bytes(b"\0" * 10240 * 20)
    extent = Extent.whole(os.fsencode(tar), tar.stat().st_size, tar.stat().st_mtime_ns)
    (found,) = write_to_memory(replace(made, plans=(), root=FinishedLayer(extent, "said", "")))[1].layers
    for expected_diff_id in (found.diff_id, image.digest):
        base = FinishedLayer(extent, "Adding base layer 1", "", expected_diff_id)
        context = BuildContext(NullLayerCache(), 2, min_parallel_size=min_parallel_size)
        if expected_diff_id == found.diff_id:
            assert write_to_memory(replace(made, base=(base,)), context) == write_to_memory(replace(made, base=(base,)))
        else:
            with pytest.raises(IntegrityError, match=rf"^layer 1: got {found.diff_id}, expected {image.digest}$"):
                write_to_memory(replace(made, base=(base,)), context)


@pytest.mark.parametrize("min_parallel_size", [0, 1 << 40])
def test_a_store_path_that_disappears_before_it_is_packed_is_named(store: FakeStore, min_parallel_size: int) -> None:
    made = make_draft(store)
    top = location_of(store, "large-1")
    top.rename(top.with_name("moved"))
    with pytest.raises(NotFound, match=f"{top.name}: got nothing there"):
        write_to_memory(made, BuildContext(NullLayerCache(), 2, min_parallel_size=min_parallel_size))


def test_an_output_that_fails_ends_the_worker_pool(store: FakeStore) -> None:
    def full(data: memoryview) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        DockerArchive(FunctionOutput(full), None, BuildContext(NullLayerCache(), 2, min_parallel_size=0)).write(
            make_draft(store)
        )


def test_digests_do_not_depend_on_the_order_in_which_workers_finish(store: FakeStore) -> None:
    """Equal layer keys give equal bytes."""
    for number in range(20):
        store.add(f"many-{number}", {"file": bytes([number]) * (number * 9000)})
    made = make_draft(store, "hello", *(f"many-{number}" for number in range(20)), max_layers=9)
    images = {
        write_to_memory(made, BuildContext(NullLayerCache(), jobs, min_parallel_size=0))[1].digest for jobs in (1, 2, 3)
    }
    assert images == {write_to_memory(made)[1].digest}
    assert all(isinstance(digest, Digest) for digest in images)


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_listing_of_a_layer_is_freed_once_the_layer_is_written(store: FakeStore, jobs: int) -> None:
    layers = make_draft(store).layers
    out = FunctionOutput(len)
    with LayerStream(layers, BuildContext(NullLayerCache(), jobs, min_parallel_size=0)) as stream:
        for layer in stream:
            layer.write(out, ignore)
        del layer
        gc.collect()
        assert not [found for found in gc.get_objects() if isinstance(found, ListedLayer)]
        assert len(stream.layers()) == len(layers)


def test_all_store_paths_are_downloaded_at_once_because_an_archive_has_every_layer(store: FakeStore) -> None:
    asked: list[object] = []
    layers = [
        replace(layer, prefetch_paths=asked.extend)
        for layer in make_draft(store).layers
        if isinstance(layer, StoreLayer)
    ]
    with LayerStream(layers, BuildContext()):
        assert asked == [path for layer in layers for path in layer.paths]
