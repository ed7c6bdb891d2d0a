"""Images that are ready to be written."""

from __future__ import annotations

import io
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.support.fake_nix_store import FakeStore, example, store_path

import lamina
from lamina.errors import InvalidArgument
from lamina.layer_cache import files
from lamina.system.locks import FileLock

HELLO = store_path("hello-2.12.1")


@pytest.fixture
def store(tmp_path: Path) -> FakeStore:
    return example(tmp_path / "root")[0]


def make_stream(fake: FakeStore, /, **arguments: Any) -> lamina.Stream:
    return lamina.stream_layered_image(**{"store": str(fake.root), "contents": ["hello"], **arguments})


def image_id(stream: lamina.Stream) -> str:
    return stream.write_to(io.BytesIO()).id


def test_a_layer_cache_that_is_in_use_is_not_waited_for_twice(
    store: FakeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "LOCK_TIMEOUT", 0.01)
    with FileLock(tmp_path, "cache"):
        stream = make_stream(store, layer_cache=tmp_path / "layer-cache.sqlite")
    image_id(stream)
    assert [warning.partition(": ")[2] for warning in stream.warnings] == [
        "got another process that uses it, expected no other process: continuing without the layer cache"
    ]
    assert not (tmp_path / "layer-cache.sqlite").exists()


def test_an_image_is_written_within_its_block(store: FakeStore, tmp_path: Path) -> None:
    with lamina.stream_layered_image(
        contents=[str(HELLO)], store=str(store.root), extra_commands="echo hi > motd"
    ) as stream:
        workspace = stream.draft.root.workspace  # type: ignore[attr-defined]
        assert stream.write_to(io.BytesIO()) == stream.build(tmp_path / "image.tar")
        assert workspace.path.exists()
    assert not workspace.path.exists()
    for write in (
        lambda: stream.write_to(io.BytesIO()),
        lambda: stream.build(tmp_path / "image.tar"),
        lambda: stream.build(tmp_path / "layout/"),
        lambda: stream.script(tmp_path / "script"),
    ):
        with pytest.raises(InvalidArgument, match="got a closed stream, expected an open one"):
            write()


@pytest.mark.parametrize("extension", ["tar", "tar.gz", "tgz", "tar.zst"])
def test_every_file_of_an_image_holds_the_same_image(store: FakeStore, tmp_path: Path, extension: str) -> None:
    stream = make_stream(store)
    image = stream.build(tmp_path / f"x.{extension}")
    assert lamina.inspect(tmp_path / f"x.{extension}")[0].digest == image.digest
    assert image.id == image_id(stream)


def test_a_named_compressor_overrides_the_extension(store: FakeStore, tmp_path: Path) -> None:
    make_stream(store).build(tmp_path / "x.tar", compressor="gz")
    make_stream(store).build(tmp_path / "x.gz", compressor="none")
    assert (tmp_path / "x.tar").read_bytes()[:2] == b"\x1f\x8b"
    assert (tmp_path / "x.gz").read_bytes()[:5] == b"1.tar"


def test_an_image_goes_through_a_socket(store: FakeStore) -> None:
    near, far = socket.socketpair()
    got = bytearray()

    def receive() -> None:
        while data := far.recv(1 << 16):
            got.extend(data)

    reader = threading.Thread(target=receive)
    reader.start()
    with near, near.makefile("wb", buffering=0) as out:
        make_stream(store).write_to(out)
    near.close()
    reader.join()
    far.close()
    expected = io.BytesIO()
    make_stream(store).write_to(expected)
    assert bytes(got) == expected.getvalue()


@pytest.mark.parametrize("output", ["image.tar", "layout/"])
def test_a_built_image_has_the_warnings(tmp_path: Path, output: str) -> None:
    built = lamina.build_layered_image(name="a", extra_commands="true", max_layers=500, output=f"{tmp_path}/{output}")
    assert any("max layers: got 500" in warning for warning in built.warnings)
