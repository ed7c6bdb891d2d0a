"""An OCI layout is written with blobs by digest and the index last, and existing blobs are not touched."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support.examples import mark_rest
from tests.support.fake_nix_store import MODULE, FakeStore, as_nobody, example, layer_cache_at, public_folder, run

import lamina
from lamina.compression.compressors import NO_LAYER_COMPRESSION, LayerCompression
from lamina.core.names import ImageReference
from lamina.errors import IntegrityError, OutputError
from lamina.formats.image_names import familiar_name, full_name
from lamina.images.blob_totals import UpdateTotals
from lamina.images.image import Draft, Image
from lamina.images.writers.oci_layout import OciLayout
from lamina.layer_cache.cache import NullLayerCache
from lamina.layers.context import BuildContext
from lamina.stores.store import adapt_store

COMPRESSIONS = ["none", "gzip", "zstd", "gzip:1", "gzip:9", "zstd:1"]


@pytest.fixture
def store(tmp_path: Path) -> FakeStore:
    store, _ = example(tmp_path / "root")
    store.add("large-1", {"data": b"0123456789abcdef" * 20_000})
    return store


def draft(store: FakeStore, **arguments: Any) -> Draft:
    words = {"name": "x", "tag": "1", "contents": ["hello", "large"], "architecture": "amd64"} | arguments
    return lamina.stream_layered_image(store=str(store.root), **words).draft


def write_layout(
    made: Draft, folder: Path, context: BuildContext | None = None, compression: LayerCompression = NO_LAYER_COMPRESSION
) -> Image:
    return OciLayout(folder, compression, None, context).write(made)


def files(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def entries(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "index.json").read_text())["manifests"]
    return found


@pytest.mark.parametrize("words", mark_rest(COMPRESSIONS, 3))
@pytest.mark.parametrize("min_parallel_size", mark_rest([0, 1 << 40], 1))
def test_every_blob_matches_its_name_and_the_image_is_the_same_as_in_an_archive(
    store: FakeStore, tmp_path: Path, words: str, min_parallel_size: int
) -> None:
    made = draft(store)
    folder, archive = tmp_path / "layout", tmp_path / "x.tar"
    image = write_layout(
        made,
        folder,
        BuildContext(NullLayerCache(), 2, min_parallel_size=min_parallel_size),
        LayerCompression.parse(words),
    )
    found = files(folder)
    assert found.pop("oci-layout") == b'{"imageLayoutVersion": "1.0.0"}'
    found.pop("index.json")
    for name, content in found.items():
        assert name == f"blobs/sha256/{hashlib.sha256(content).hexdigest()}"
    (layout,) = lamina.inspect(folder)
    with archive.open("wb") as file:
        lamina.stream_layered_image(
            store=str(store.root), name="x", tag="1", contents=["hello", "large"], architecture="amd64"
        ).write_to(file)
    (expected,) = lamina.inspect(archive)
    assert layout.digest == expected.digest == image.digest
    assert layout.repo_tags == expected.repo_tags == (image.repo_tag,)
    assert [layer.diff_id for layer in layout.layers] == [layer.diff_id for layer in expected.layers]
    assert [layer.paths for layer in layout.layers] == [layer.paths for layer in expected.layers]
    manifest = json.loads(found[f"blobs/sha256/{entries(folder)[0]['digest'][7:]}"])
    suffix = {"n": "", "g": "+gzip", "z": "+zstd"}[words[0]]
    assert {layer["mediaType"] for layer in manifest["layers"]} == {f"application/vnd.oci.image.layer.v1.tar{suffix}"}


@pytest.mark.parametrize("words", mark_rest(COMPRESSIONS, 2))
def test_the_bytes_depend_neither_on_the_layer_cache_nor_on_workers(
    store: FakeStore, tmp_path: Path, words: str
) -> None:
    made, compression = draft(store), LayerCompression.parse(words)
    layouts = []
    with layer_cache_at(tmp_path / "layer_cache") as layer_cache:
        for number, context in enumerate(
            [
                BuildContext(),
                BuildContext(NullLayerCache(), 3, min_parallel_size=0),
                BuildContext(layer_cache),
                BuildContext(layer_cache),
                BuildContext(layer_cache, 2, min_parallel_size=0),
            ]
        ):
            write_layout(made, tmp_path / str(number), context, compression)
            layouts.append(files(tmp_path / str(number)))
    assert all(layout == layouts[0] for layout in layouts)


@pytest.mark.parametrize("words", ["none", "gzip"])
def test_a_repeat_writes_only_what_changed(store: FakeStore, tmp_path: Path, words: str) -> None:
    folder, compression = tmp_path / "layout", LayerCompression.parse(words)
    with layer_cache_at(tmp_path / "layer_cache") as layer_cache:
        write_layout(draft(store), folder, BuildContext(layer_cache), compression)
    before = {file: (file.stat().st_ino, file.stat().st_mtime_ns) for file in folder.rglob("blobs/*/*")}
    store.add("extra-1", b"extra")
    for file in before:
        file.chmod(0o444)
    with layer_cache_at(tmp_path / "layer_cache") as layer_cache:
        image = write_layout(draft(store, closure=["extra"]), folder, BuildContext(layer_cache), compression)
    after = {file: (file.stat().st_ino, file.stat().st_mtime_ns) for file in folder.rglob("blobs/*/*")}
    assert before.items() <= after.items(), "what was there is as it was"
    assert len(after) - len(before) == 3, "a layer, the config, the manifest"
    (found,) = lamina.inspect(folder)
    assert found.digest == image.digest


_WATCHED = """
import os, sys
import lamina

folder, root, layer_cache = sys.argv[1:]
read = []

def watch(event, arguments):
    if event in ("open", "os.scandir") and isinstance(arguments[0], (str, bytes)):
        name = os.fsdecode(arguments[0])
        if name.startswith((root + "/nix/store", folder + "/blobs/")):
            read.append(name)

sys.addaudithook(watch)
lamina.build_layered_image(
    name="x", contents=["hello", "large"], architecture="amd64", store=root, layer_cache=layer_cache,
    output=folder + "/",
)
print(len(read))
"""


def test_a_repeat_of_the_same_packs_nothing_of_the_store(store: FakeStore, tmp_path: Path) -> None:
    command = [sys.executable, "-c", _WATCHED, str(tmp_path / "layout"), str(store.root), str(tmp_path / "layer_cache")]
    read = [int(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(2)]
    # The programs of the paths that were named are read, to find out their architecture.
    assert read[0] > 1
    assert read[1] == 1


def test_an_image_replaces_only_the_image_of_the_same_name(store: FakeStore, tmp_path: Path) -> None:
    folder = tmp_path / "layout"
    first = write_layout(draft(store), folder)
    other = write_layout(draft(store, name="other"), folder)
    second = write_layout(draft(store, config={"Cmd": ["x"]}), folder)
    assert first.digest != second.digest
    found = {image.repo_tags: image.digest for image in lamina.inspect(folder)}
    assert found == {("x:1",): second.digest, ("other:1",): other.digest}
    assert (folder / "blobs" / "sha256" / first.digest.hex).exists(), "other blobs stay"


def test_a_tag_is_that_of_the_image_written_last(store: FakeStore, tmp_path: Path) -> None:
    """skopeo and podman select an image only by this annotation, and take the first entry that has it."""
    folder = tmp_path / "layout"

    def refs() -> dict[str, str]:
        entries = json.loads((folder / "index.json").read_text())["manifests"]
        keys = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
        return {entry["annotations"][keys[0]]: entry["annotations"][keys[1]] for entry in entries}

    arguments: dict[str, Any] = {"contents": ["hello"], "store": str(store.root), "architecture": "amd64"}
    first = lamina.stream_layered_image(name="a", tag="1", **arguments)
    first.build(f"{folder}/")
    assert refs() == {"docker.io/library/a:1": "1"}
    other = lamina.stream_layered_image(name="h.io/b", tag="1", **arguments)
    other.build(f"{folder}/")
    assert refs() == {"docker.io/library/a:1": "a:1", "h.io/b:1": "1"}
    (warning_text,) = (warning for warning in other.warnings if "skopeo" in warning)
    assert warning_text == f"{folder}: the tag 1 now names h.io/b:1; skopeo and podman find a:1 as oci:{folder}:a:1"
    first.build(f"{folder}/")
    assert refs() == {"h.io/b:1": "h.io/b:1", "docker.io/library/a:1": "1"}
    lamina.build_layered_image(name="a", tag="2", output=f"{folder}/", **arguments)
    assert refs()["docker.io/library/a:1"] == "1"
    assert len(lamina.inspect(folder)) == 1, "the same image under three names"


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("hello:1", "docker.io/library/hello:1"),
        ("me/hello:1", "docker.io/me/hello:1"),
        ("localhost/hello:1", "localhost/hello:1"),
        ("registry.example/a/b:1", "registry.example/a/b:1"),
        ("host:5000/a:1", "host:5000/a:1"),
        ("library/hello/x:1", "docker.io/library/hello/x:1"),
    ],
)
def test_a_name_without_a_registry_gets_dockers_default(name: str, full: str) -> None:
    """distribution/reference, "Normalization"."""
    assert full_name(ImageReference.parse(name)) == full
    assert familiar_name(ImageReference.parse(full)) == ImageReference.parse(name)


def test_verify_finds_a_damaged_blob_and_writes_it_again(store: FakeStore, tmp_path: Path) -> None:
    folder = tmp_path / "layout"
    with layer_cache_at(tmp_path / "layer_cache") as layer_cache:
        write_layout(draft(store), folder, BuildContext(layer_cache))
        before = files(folder)
        largest = max(folder.rglob("blobs/*/*"), key=lambda file: file.stat().st_size)
        largest.chmod(0o644)
        largest.write_bytes(bytes(largest.stat().st_size))
        write_layout(draft(store), folder, BuildContext(layer_cache))
        assert files(folder) != before, "without it, a blob of that name and size is taken for it"
        write_layout(draft(store), folder, BuildContext(layer_cache, verify=True))
    assert files(folder) == before


def test_a_file_that_changes_meanwhile_leaves_the_old_image(store: FakeStore, tmp_path: Path) -> None:
    folder = tmp_path / "layout"
    write_layout(draft(store), folder)
    before = files(folder)
    made = draft(store, config={"Cmd": ["new"]})
    file = store.location(next(path for path in store.numbers if path.name == "large-1")) / "data"
    extent = made.store.nodes

    class Changing:
        query = staticmethod(made.store.query)

        def nodes(self, path: Any) -> Any:
            found = tuple(extent(path))
            if path.name == "large-1":
                file.chmod(0o644)
                file.write_bytes(b"other")
            return found

    changing = Draft(made.plans, adapt_store(Changing()), made.root, made.settings)
    with pytest.raises(IntegrityError, match="the file changed while it was read"):
        write_layout(changing, folder)
    after = files(folder)
    assert before.items() <= after.items()
    assert not [name for name in after if ".part" in name]


def count_unfinished_bytes(folder: Path, ignored: set[str]) -> int:
    """Return the size of all files in the folders of runs that have not ended, without the folders ``ignored``."""
    total = 0
    for name in set(os.listdir(folder)) - ignored:
        with contextlib.suppress(OSError):
            total += sum(file.stat().st_size for file in os.scandir(folder / name) if name.startswith(".lamina."))
    return total


@pytest.mark.integration
@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_a_run_that_is_killed_leaves_the_old_image_whole(store: FakeStore, tmp_path: Path) -> None:
    folder = tmp_path / "layout"
    store.add("slow-1", {"data": b"x" * (80 << 20)})
    arguments = f"build --quiet --no-layer-cache --store {store.root} --name x --tag 1 --jobs 2".split()
    assert run(*arguments, "hello", "-o", f"{folder}/").code == 0
    (before,) = lamina.inspect(folder)
    for size in (0, 1, 10 << 20, 40 << 20, 70 << 20):  # of what was written when the run is killed
        others = set(os.listdir(folder))
        with subprocess.Popen([*MODULE, *arguments, "slow", "-o", f"{folder}/"]) as running:
            while running.poll() is None and count_unfinished_bytes(folder, others) < size:
                os.sched_yield()
            running.kill()
        found = lamina.inspect(folder)
        assert len(found) == 1
        assert found[0].repo_tags == before.repo_tags
    assert run(*arguments, "slow", "-o", f"{folder}/").code == 0
    (after,) = lamina.inspect(folder)
    assert after.digest != before.digest


def test_old_temporary_files_are_removed(store: FakeStore, tmp_path: Path) -> None:
    folder = tmp_path / "layout"
    write_layout(draft(store), folder)
    old, new = folder / ".lamina.0123.part", folder / ".lamina.4567.part"
    for part in (old, new):
        part.write_bytes(b"part")
    os.utime(old, (1, 1))
    write_layout(draft(store), folder)
    assert not old.exists()
    assert new.exists(), "somebody may be writing it"


def test_a_folder_without_write_permission_is_an_error() -> None:
    with public_folder() as folder:
        made = draft(example(folder / "root")[0], contents=["hello"])
        (folder / "closed").mkdir(mode=0o555)
        with pytest.raises(OutputError, match="closed: got Permission denied"):
            as_nobody(lambda: write_layout(made, folder / "closed"))


# The command


@pytest.mark.parametrize("exists", [True, False])
def test_a_name_that_ends_in_a_slash_or_a_folder_is_a_layout(store: FakeStore, tmp_path: Path, exists: bool) -> None:
    folder = tmp_path / "layout"
    if exists:
        folder.mkdir()
    output = str(folder) if exists else f"{folder}/"
    ran = run("build", "hello", "--store", store.root, "-o", output, "--layer-compression", "gzip", "--progress", "nix")
    assert ran.code == 0, ran.stderr
    assert ran.stdout.decode() == f"{output}\n"
    assert ran.stderr.splitlines()[0] == "No 'fromImage' provided"
    assert ran.stderr.splitlines()[-2:] == ["Adding manifests...", "Done."]
    assert len(lamina.inspect(folder)) == 1


def test_a_compressor_is_not_for_a_folder(store: FakeStore, tmp_path: Path) -> None:
    ran = run("build", "hello", "--store", store.root, "-o", f"{tmp_path}/layout/", "--compressor", "gz")
    assert ran.code == 2
    assert "got gz, expected none for an OCI layout" in ran.stderr
    assert "--layer-compression" in ran.stderr
    assert not (tmp_path / "layout").exists()


@pytest.mark.parametrize("words", ["gzip", "zstd:1"])
@pytest.mark.parametrize("verb", ["stream", "build"])
def test_layers_are_compressed_inside_an_archive_too(store: FakeStore, tmp_path: Path, words: str, verb: str) -> None:
    file = tmp_path / "x.tar"
    common = ("hello", "large", "--store", store.root, "--name", "x", "--tag", "1")
    plain = run("stream", *common).stdout
    if verb == "stream":
        file.write_bytes(run("stream", *common, "--layer-compression", words).stdout)
    else:
        assert run("build", *common, "--layer-compression", words, "-o", file).code == 0
    assert file.stat().st_size < len(plain) / 4
    (found,) = lamina.inspect(file)
    (tmp_path / "plain.tar").write_bytes(plain)
    (expected,) = lamina.inspect(tmp_path / "plain.tar")
    assert (found.digest, found.repo_tags) == (expected.digest, expected.repo_tags)
    assert all(layer.digest != layer.diff_id for layer in found.layers)


@pytest.mark.parametrize("words", ["", "gz", "gzip:0", "gzip:10", "zstd:20", "zstd:x", "none:1", "xz"])
def test_an_unknown_layer_compression_is_refused(store: FakeStore, words: str) -> None:
    ran = run("stream", "hello", "--store", store.root, "--layer-compression", words)
    assert ran.code == 2
    assert ran.stderr.startswith("lamina: --layer-compression: got ")


def test_the_result_says_what_an_update_from_the_image_before_moves(store: FakeStore, tmp_path: Path) -> None:
    def build(*contents: str, **arguments: Any) -> UpdateTotals | None:
        return OciLayout(tmp_path / "layout").write(draft(store, contents=contents, **arguments)).update

    assert build("hello") is None
    first = build("hello")
    assert first is not None
    assert (first.sent.count, first.gone.count) == (0, 0)
    assert build("hello", tag="2") is None
    assert build("hello", architecture="arm64", tag="2") is None
    second = build("hello", "large")
    assert second is not None
    assert (second.kept.count, second.sent.count, second.gone.count) == (first.kept.count - 1, 2, 1)
    before, after = (lamina.inspect(f"{tmp_path}/layout#x:{tag}")[0] for tag in "21")
    assert before.platform == "linux/arm64"
    assert second.kept.size + second.sent.size == sum(layer.size for layer in after.layers)


@pytest.mark.parametrize("content", [None, b"{}", b'{"layers": 5}'])
def test_a_layout_whose_image_before_is_damaged_is_written(
    store: FakeStore, tmp_path: Path, content: bytes | None
) -> None:
    made, folder = draft(store), tmp_path / "layout"
    write_layout(made, folder)
    manifest = folder / "blobs/sha256" / entries(folder)[0]["digest"][7:]
    changed = draft(store, contents=["hello"])
    manifest.unlink() if content is None else manifest.write_bytes(content)
    assert OciLayout(folder).write(changed).update is None
