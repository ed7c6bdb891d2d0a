"""Public functions that can take long report their progress."""

import io
from pathlib import Path

import pytest
from tests.support.embedded_store import fetch_example
from tests.support.example_store import CACHE, KEY, example_store, hello
from tests.support.progress import RecordedProgress

import lamina
from lamina.stores.local.database import LocalStore
from lamina.stores.store import WrappedStore

PATHS = 6


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return fetch_example(tmp_path / "store").folder


def check_calls(progress: RecordedProgress, outcome: str, count: int) -> None:
    """Check that one piece of work has ``count`` items, each of which is done completely and ends with ``outcome``."""
    (work,) = progress.works
    assert progress.calls[0] == ("begin", count)
    assert progress.calls[-1] == ("done",)
    assert len(work.items) == count
    for item in work.items:
        calls = [call for call in progress.calls[1:-1] if call[1] == item.number]
        assert calls == [
            ("start", item.number),
            ("advance", item.number, item.size),
            ("finish", item.number, outcome, item.size),
        ]


def test_verifying_reports_the_nar_of_each_path(store: Path) -> None:
    progress = RecordedProgress()
    checked = lamina.verify_store(embedded_store=store, progress=progress)
    check_calls(progress, "intact", checked.paths)
    assert progress.works[0].size == checked.size


def test_verifying_reports_which_path_is_damaged(store: Path) -> None:
    (described,) = lamina.describe_paths([str(hello())], embedded_store=store)
    described.file.chmod(0o644)
    described.file.write_bytes(bytes(described.file.stat().st_size))
    progress = RecordedProgress()
    lamina.verify_store(embedded_store=store, progress=progress)
    (item,) = [one for one in progress.works[0].items if one.name == "hello-1.0"]
    assert ("finish", item.number, "damaged", item.size) in progress.calls


def test_pushing_reports_what_is_missing(store: Path, tmp_path: Path) -> None:
    to = (tmp_path / "cache").as_uri()
    lamina.push_paths("licence", to=to, embedded_store=store)
    progress = RecordedProgress()
    pushed = lamina.push_paths(str(hello()), to=to, embedded_store=store, progress=progress)
    check_calls(progress, "sent", len(pushed.sent))
    assert len(pushed.sent) == PATHS - 1


def test_pushing_nothing_reports_nothing(store: Path, tmp_path: Path) -> None:
    to = (tmp_path / "cache").as_uri()
    lamina.push_paths("licence", to=to, embedded_store=store)
    progress = RecordedProgress()
    lamina.push_paths("licence", to=to, embedded_store=store, progress=progress)
    assert progress.calls == []


def test_exporting_reports_each_path(store: Path) -> None:
    progress = RecordedProgress()
    lamina.export_paths(str(hello()), output=io.BytesIO(), embedded_store=store, progress=progress)
    check_calls(progress, "copied", PATHS)


class DistantStore(WrappedStore):
    """A store whose paths must all be downloaded, except one."""

    def is_local(self, path: lamina.StorePath) -> bool:
        return path.name == "licence-1.0"


def test_a_script_reports_what_it_downloads(tmp_path: Path) -> None:
    example_store(tmp_path)
    progress = RecordedProgress()
    store = DistantStore(LocalStore(tmp_path))
    with lamina.stream_layered_image(contents=str(hello()), store=store) as stream:
        stream._fetch_missing(progress)
    (work,) = progress.works
    assert len(work.items) == PATHS - 1
    assert all(item.size for item in work.items)
    assert [call[2] for call in progress.calls if call[0] == "finish"] == ["fetched"] * (PATHS - 1)


def test_building_reports_every_layer(tmp_path: Path) -> None:
    progress = RecordedProgress()
    lamina.build_layered_image(
        contents=str(hello()), store=CACHE, trusted_keys=KEY, output=tmp_path / "hello.tar", progress=progress
    )
    assert [call[0] for call in progress.calls if call[0] in ("begin", "documents", "done")] == [
        "begin",
        "documents",
        "done",
    ]
    assert len([call for call in progress.calls if call[0] == "finish"]) == PATHS + 1


def check_file(progress: RecordedProgress, size: int, read: int) -> None:
    """Check that one file of ``size`` bytes was read, of which ``read`` bytes were reported."""
    assert [call[0] for call in progress.calls] == ["begin", "start", "advance", "finish", "done"]
    assert progress.works[0].size == size
    assert progress.calls[2] == ("advance", 1, read)


@pytest.mark.parametrize("is_named", [True, False])
def test_importing_reports_what_was_read(store: Path, tmp_path: Path, is_named: bool) -> None:
    file, progress = tmp_path / "export", RecordedProgress()
    lamina.export_paths(str(hello()), output=file, embedded_store=store)
    size = file.stat().st_size
    with file.open("rb") as opened:
        source = file if is_named else opened
        lamina.import_paths(source, embedded_store=tmp_path / "other", progress=progress)
    check_file(progress, size if is_named else 0, size)


def test_adding_reports_both_readings(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/file").write_bytes(bytes(3 << 20))
    progress = RecordedProgress()
    added = lamina.add_path(tmp_path / "tree", embedded_store=tmp_path / "store", progress=progress)
    check_file(progress, 2 * added.info.nar_size, 2 * added.info.nar_size)
    assert ("finish", 1, "copied", added.info.nar_size) in progress.calls


@pytest.mark.parametrize("compressor", ["none", "gz"])
def test_inspecting_reports_the_unpacking_and_each_layer(tmp_path: Path, compressor: str) -> None:
    file, progress = tmp_path / "hello.tar", RecordedProgress()
    lamina.build_layered_image(
        contents=str(hello()), store=CACHE, trusted_keys=KEY, output=file, compressor=compressor, name="hello", tag="1"
    )
    (image,) = lamina.inspect(file, progress=progress)
    *unpacked, layers = progress.works
    assert [work.size for work in unpacked] == ([] if compressor == "none" else [file.stat().st_size])
    assert layers.title == "hello:1"
    assert [item.size for item in layers.items] == [layer.size for layer in image.layers]
    calls = progress.calls[progress.calls.index(("begin", PATHS + 1)) :]
    assert [call[1:] for call in calls if call[0] == "advance"] == [(one.number, one.size) for one in layers.items]
    assert [call[1:] for call in calls if call[0] == "finish"] == [
        (one.number, "intact", one.size) for one in layers.items
    ]


def test_a_layer_that_two_images_share_is_read_once(tmp_path: Path) -> None:
    files = [tmp_path / "1.tar", tmp_path / "2.tar"]
    for file in files:
        lamina.build_layered_image(contents=str(hello()), store=CACHE, trusted_keys=KEY, output=file, tag=file.stem)
    lamina.merge_images(files, output=tmp_path / "both.tar")
    progress = RecordedProgress()
    lamina.inspect(tmp_path / "both.tar", progress=progress)
    outcomes = [call[2] for call in progress.calls if call[0] == "finish"]
    assert outcomes.count("intact") == PATHS + 1


@pytest.mark.parametrize(
    ("output", "layer_compression"),
    [("hello.tar", "none"), ("hello.tar", "zstd:1"), ("layout/", "none"), ("layout/", "zstd:1")],
)
def test_every_layer_advances_by_its_size(store: Path, tmp_path: Path, output: str, layer_compression: str) -> None:
    for _ in range(2):  # the second time, the layers of a layout are reused
        progress = RecordedProgress()
        lamina.build_layered_image(
            contents=str(hello()),
            embedded_store=store,
            output=f"{tmp_path}/{output}",
            layer_compression=layer_compression,
            layer_cache=tmp_path / "layers.db",
            progress=progress,
        )
        (work,) = progress.works
        assert progress.sum_up() == {item.number: item.size for item in work.items}


def test_merging_and_exporting_advance_by_the_size(tmp_path: Path) -> None:
    file, progress = tmp_path / "hello.tar", RecordedProgress()
    lamina.build_layered_image(contents=str(hello()), store=CACHE, trusted_keys=KEY, output=file)
    lamina.merge_images([file], output=tmp_path / "merged.tar", progress=progress)
    assert progress.sum_up() == {item.number: item.size for item in progress.works[0].items}
    progress = RecordedProgress()
    lamina.export_image(file, output=tmp_path / "root.tar", progress=progress)
    assert progress.sum_up() == {item.number: item.size for item in progress.works[-1].items}


class PercentageOfTheDocs(lamina.Progress):
    """The class of docs/library.md, which keeps what it computes instead of printing it."""

    def begin(self, work: lamina.Work) -> None:
        self.total, self.count = work.size, 0
        self.shown: list[float] = []

    def advance(self, item: lamina.ProgressItem, size: int) -> None:
        self.count += size
        self.shown.append(self.count / self.total)


@pytest.mark.parametrize("contents", [[], [str(hello())]])
def test_a_percentage_rises_to_a_hundred(tmp_path: Path, contents: list[str]) -> None:
    progress = PercentageOfTheDocs()
    lamina.build_layered_image(
        name="hello",
        contents=contents,
        extra_commands="echo hello > motd",
        store=CACHE,
        trusted_keys=KEY,
        output=tmp_path / "1.tar",
        progress=progress,
    )
    assert progress.shown == sorted(progress.shown)
    assert progress.shown[-1] == 1


@pytest.mark.parametrize("wrong", ["bars", lamina.Progress])
def test_what_is_no_progress_is_refused_before_anything_is_read(tmp_path: Path, wrong: lamina.Progress) -> None:
    with pytest.raises(lamina.InvalidArgument, match=r"progress: got .* expected an object of a subclass"):
        lamina.build_layered_image(contents="/nix/store/missing", output=tmp_path / "1.tar", progress=wrong)
