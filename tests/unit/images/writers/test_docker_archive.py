"""A docker-archive is written in one pass: nothing is read twice, no layer is held, the documents come last."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.examples import mark_rest
from tests.support.fake_nix_store import MODULE, FakeStore, Program, example
from tests.support.image_files import docker_archive, layer
from tests.support.progress import RecordedProgress

import lamina
from lamina.compression.compressors import LayerCompression
from lamina.core.progress import Progress
from lamina.errors import IntegrityError, NotFound
from lamina.images.image import Draft, Image
from lamina.images.writers.docker_archive import DockerArchive
from lamina.layer_cache.cache import LayerCache, NullLayerCache
from lamina.layers.context import BuildContext
from lamina.system.fd_writer import FunctionOutput


@pytest.fixture
def store(tmp_path: Path) -> FakeStore:
    return example(tmp_path / "root")[0]


def stream(store: FakeStore, *roots: str, **arguments: Any) -> lamina.Stream:
    contents = {"contents": roots} if roots else {}
    return lamina.stream_layered_image(
        store=str(store.root), architecture="amd64", **{"name": "x"} | contents | arguments
    )


def draft(store: FakeStore, *roots: str, **arguments: Any) -> Draft:
    """Return the draft of an image without scripts, whose files would go with the stream."""
    return stream(store, *roots, **arguments).draft


def write_archive(made: Draft) -> tuple[bytes, Image]:
    out = io.BytesIO()
    image = DockerArchive(FunctionOutput(out.write)).write(made)
    return out.getvalue(), image


def members(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        found = {}
        for member in tar:
            content = tar.extractfile(member)
            assert content
            found[member.name] = content.read()
    return found


# The members


def test_layers_come_first_then_the_config_then_the_manifest(store: FakeStore) -> None:
    archive, image = write_archive(draft(store, "hello", config={"Cmd": ["/bin/hello"]}, tag="1"))
    found = members(archive)
    assert list(found) == ["1.tar", "2.tar", "3.tar", "4.tar", "5.tar", f"{image.digest.hex}.json", "manifest.json"]
    assert json.loads(found["manifest.json"]) == [
        {
            "Config": f"{image.digest.hex}.json",
            "RepoTags": ["x:1"],
            "Layers": ["1.tar", "2.tar", "3.tar", "4.tar", "5.tar"],
        }
    ]


def test_every_digest_is_that_of_the_bytes(store: FakeStore) -> None:
    archive, image = write_archive(draft(store, "hello"))
    found = members(archive)
    contents = [found[f"{number}.tar"] for number in range(1, 6)]
    digests = ["sha256:" + hashlib.sha256(content).hexdigest() for content in contents]
    config = found[f"{image.digest.hex}.json"]
    assert hashlib.sha256(config).hexdigest() == image.digest.hex
    assert json.loads(config)["rootfs"] == {"diff_ids": digests, "type": "layers"}
    assert [(str(layer.diff_id), layer.size) for layer in image.layers] == [
        (digest, len(content)) for digest, content in zip(digests, contents, strict=True)
    ]
    assert {path.name for layer in image.layers for path in layer.paths} == {
        "hello-2.12.1",
        "libgreet-1.0",
        "sh-5",
        "words-2.1-data",
    }
    assert image.layers[-1].paths == ()


def test_the_config_is_nixpkgs_own_text(store: FakeStore) -> None:
    made = draft(store, "words", config={"Env": ["A=b"], "Cmd": ["é"]}, created="2020-02-03")
    archive, image = write_archive(made)
    (text,) = (content for name, content in members(archive).items() if len(name) == 69)
    (path,) = image.layers[0].paths
    diff_ids = ",\n            ".join(f'"{layer.diff_id}"' for layer in image.layers)
    assert text.decode() == _CONFIG % (diff_ids, path)


_CONFIG = """\
{
    "created": "2020-02-03T00:00:00+00:00",
    "architecture": "amd64",
    "os": "linux",
    "config": {
        "Cmd": [
            "\\u00e9"
        ],
        "Env": [
            "A=b"
        ]
    },
    "rootfs": {
        "diff_ids": [
            %s
        ],
        "type": "layers"
    },
    "history": [
        {
            "created": "2020-02-03T00:00:00+00:00",
            "comment": "store paths: ['%s']"
        },
        {
            "created": "2020-02-03T00:00:00+00:00",
            "comment": "customisation layer"
        }
    ]
}"""


def test_the_outer_members_have_no_owner(store: FakeStore) -> None:
    archive, _ = write_archive(draft(store, "hello", mtime="2001-09-09T01:46:40Z", uid=7, gid=8, uname="u", gname="g"))
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar:
            fields = member.mode, member.uid, member.gid, member.uname, member.gname, member.mtime
            assert fields == (0o644, 0, 0, "", "", 1_000_000_000)
            assert member.isreg()
    assert len(archive) % 10240 == 0
    assert archive.endswith(bytes(1024))


def test_a_date_before_1970_is_written_and_read(store: FakeStore) -> None:
    archive, _ = write_archive(draft(store, "hello", mtime="1969-12-31T23:59:00Z"))
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        assert {member.mtime for member in tar} == {-60}


def test_the_default_tag_is_the_beginning_of_the_id(store: FakeStore) -> None:
    _, image = write_archive(draft(store, "hello"))
    assert image.repo_tag == f"x:{image.digest.hex[:32]}"
    assert image.id == f"sha256:{image.digest.hex}"


def test_an_image_may_have_no_store_path_at_all(store: FakeStore) -> None:
    archive, image = write_archive(draft(store, tree=[lamina.Dir("/tmp")]))
    assert len(image.layers) == 1
    assert next(iter(members(archive))) == "1.tar"


def test_writing_twice_gives_the_same_bytes(store: FakeStore) -> None:
    with stream(store, "hello", extra_commands="echo hi > hi") as made:
        assert write_archive(made.draft) == write_archive(made.draft)


# One pass

_LIST_OPENED_FILES = """
import json, os, sys
import lamina

root, where, extra = sys.argv[1], os.fsencode(os.path.realpath(sys.argv[2])), json.loads(sys.argv[3])
opened = []

def watch(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes)):
        name = os.fsencode(arguments[0])
        if name.startswith(where):
            opened.append(os.fsdecode(name[len(where):]))

class Out:
    def write(self, data):
        return len(data)

sys.addaudithook(watch)
lamina.stream_layered_image(name="x", contents=["hello"], store=root, **extra).write_to(Out())
print(json.dumps(opened))
"""


def count_opened_files(store: FakeStore, where: Path, **extra: str) -> Counter[str]:
    command = [sys.executable, "-c", _LIST_OPENED_FILES, str(store.root), str(where), json.dumps(extra)]
    return Counter(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))


def test_every_file_is_opened_once_and_an_empty_one_never(store: FakeStore) -> None:
    counted = count_opened_files(store, store.root / "nix/store", architecture="amd64")
    times = {name.rpartition("/")[2]: count for name, count in counted.items()}
    # The program that was named is also read before, to find out its architecture.
    assert times == {"hello": 2, "sh": 1, "libgreet.so": 1, "hello.txt": 1}


def test_the_architecture_is_found_by_reading_one_program(store: FakeStore) -> None:
    header = b"\x7fELF\x02\x01\x01" + bytes(9) + (2).to_bytes(2, "little") + (183).to_bytes(2, "little")
    store.add("arm-1", {"bin": {"x": Program(header.ljust(200, b"\0"))}})
    counted = count_opened_files(store, store.root / "nix/store")
    assert sum(counted.values()) <= len(counted) + 2


def test_progress_reports_each_layer_around_its_bytes_and_every_byte(store: FakeStore) -> None:
    progress = RecordedProgress()
    image = DockerArchive(FunctionOutput(len), progress).write(draft(store, "words"))
    first, second = (layer.size for layer in image.layers)
    (work,) = progress.works
    expected = [item.size for item in work.items]
    assert progress.calls == [
        ("begin", 2),
        ("start", 1),
        ("advance", 1, expected[0]),
        ("finish", 1, "packed", first),
        ("start", 2),
        ("advance", 2, expected[1]),
        ("finish", 2, "packed", second),
        ("documents",),
        ("done",),
    ]
    (work,) = progress.works
    assert [item.name for item in work.items] == ["words-2.1-data", "customisation layer"]
    assert work.headline == "No 'fromImage' provided"


def test_a_layer_that_the_layer_cache_knows_is_reported_as_reused(store: FakeStore, tmp_path: Path) -> None:
    progress = RecordedProgress()
    with LayerCache.open(tmp_path / "cache", len) as layer_cache:
        context = BuildContext(layer_cache)
        for receiver in (Progress(), progress):
            DockerArchive(FunctionOutput(len), receiver, context).write(draft(store, "words"))
    assert [call[2] for call in progress.calls if call[0] == "finish"] == ["reused", "packed"]


def test_the_result_says_what_was_written(store: FakeStore) -> None:
    written = bytearray()
    image = DockerArchive(FunctionOutput(written.extend)).write(draft(store, "words"))
    assert image.bytes_written == len(written)
    assert (image.blobs_written, image.blobs_reused) == (2, 0)
    assert [(blob.digest, blob.size) for blob in image.blobs] == [(layer.diff_id, layer.size) for layer in image.layers]
    assert image.size == sum(layer.size for layer in image.layers)
    assert image.platform == "linux/amd64"


@pytest.mark.parametrize("min_parallel_size", [0, 1 << 40])
def test_equal_compressed_layers_are_one_member(store: FakeStore, tmp_path: Path, min_parallel_size: int) -> None:
    base = tmp_path / "base.tar"
    base.write_bytes(docker_archive({"one.tar": layer("x"), "two.tar": layer("x")}))
    out = io.BytesIO()
    context = BuildContext(NullLayerCache(), 2, min_parallel_size=min_parallel_size)
    made = draft(store, "words", from_image=base)
    DockerArchive(FunctionOutput(out.write), None, context, LayerCompression.parse("gzip")).write(made)
    (entry,) = json.loads(members(out.getvalue())["manifest.json"])
    assert entry["Layers"] == ["1.tar", "1.tar", "2.tar", "3.tar"]
    (tmp_path / "x.tar").write_bytes(out.getvalue())
    (image,) = lamina.inspect(tmp_path / "x.tar")
    assert len(image.layers) == 4


def peak_memory(*arguments: str | Path) -> int:
    """Return the peak memory of a run of lamina, in bytes."""
    running = subprocess.Popen([*MODULE, *map(str, arguments)], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(running.pid, 0)
    running.returncode = status
    assert status == 0
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@pytest.mark.integration
@pytest.mark.parametrize("compressor", mark_rest(["gz", "none", "zstd"], 1))
def test_memory_does_not_grow_with_the_image(store: FakeStore, tmp_path: Path, compressor: str) -> None:
    store.add("small-1", b"")
    large = store.location(store.add("large-1", b""))
    large.chmod(0o644)
    os.truncate(large, 160 << 20)
    arguments = ("--store", store.root, "--name", "x", "-o", tmp_path / "x", "--jobs", "2", "--compressor", compressor)
    peaks = [peak_memory("build", "--quiet", "--closure", name, *arguments) for name in ("small", "large")]
    assert peaks[1] < peaks[0] + (40 << 20)


# Files that change while they are streamed


def _shrink(file: Path) -> None:
    os.truncate(file, 10)


def _grow(file: Path) -> None:
    os.truncate(file, 9000)


def _touch(file: Path) -> None:
    os.utime(file, ns=(0, 0))


def _rewrite(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


def _remove(file: Path) -> None:
    file.unlink()


def _replace(file: Path) -> None:
    file.unlink()
    file.symlink_to("/etc/passwd")


@pytest.mark.parametrize("change", [_shrink, _grow, _touch, _rewrite, _remove, _replace])
def test_a_file_that_changes_between_its_header_and_its_bytes_is_an_error(
    store: FakeStore, change: Callable[[Path], None]
) -> None:
    file = store.location(store.add("data-1", {"file": b"x" * 5000})) / "file"
    file.parent.chmod(0o755)
    file.chmod(0o644)
    os.utime(file, ns=(0, 10**9))
    made = draft(store, "data")
    sizes: list[int] = []

    def write(data: memoryview) -> None:
        if not sizes:
            change(file)
        sizes.append(len(data))

    with pytest.raises(IntegrityError, match=rf"^{file}: got .*, expected") as caught:
        DockerArchive(FunctionOutput(write)).write(made)
    assert caught.value.exit_code == 6


def test_a_store_path_that_is_removed_before_its_layer_is_written_is_named(store: FakeStore) -> None:
    path = store.add("data-1", b"x")
    made = draft(store, name="x", closure=["data"])
    store.location(path).unlink()
    with pytest.raises(NotFound, match=rf"{path.base}: got nothing there"):
        DockerArchive(FunctionOutput(len)).write(made)


def test_errors_of_the_output_are_passed_on(store: FakeStore) -> None:
    for limit in (0, 512, 20_000):
        with pytest.raises(OSError, match="No space"):
            DockerArchive(_full_after(limit)).write(draft(store, "hello"))


def _full_after(limit: int) -> FunctionOutput:
    size = 0

    def write(data: memoryview) -> None:
        nonlocal size
        size += len(data)
        if size > limit:
            raise OSError(28, "No space left on device")

    return FunctionOutput(write)
