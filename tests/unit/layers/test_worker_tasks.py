"""The tasks of a worker process, run in this one: their results, and values on the way to a worker and back."""

import io
import os
from pathlib import Path

import pytest
from tests.support import factories
from tests.support.factories import File, packed_bytes

from lamina.compression.compressors import LayerCompression
from lamina.compression.decoders import decode_pieces
from lamina.core.nodes import Extent
from lamina.errors import NotFound, OutputError
from lamina.formats.tar import Owner
from lamina.layers import worker_tasks
from lamina.layers.listings import LocatedLayer, LocatedPath
from lamina.layers.packed import ListedLayer
from lamina.system.shared_memory import SharedBuffer
from lamina.system.transfer import hash_pieces


@pytest.fixture
def listed(tmp_path: Path) -> ListedLayer:
    location = os.fsencode(tmp_path / "tree")
    factories.write({b"a": File(b"a" * 5000), b"b": File(b"b", executable=True)}, location)
    found = LocatedLayer((LocatedPath(b"/nix/store/x", location, None),), Owner(1, 2, "u", "g"), 7).list_files()
    assert found
    return found


def test_a_listing_is_that_of_this_process(listed: ListedLayer) -> None:
    (part,) = listed.parts
    result = worker_tasks.run(worker_tasks.listing_task([part.location]))
    assert worker_tasks.parse_listings(result) == [part.listing]


def test_a_layer_is_hashed_from_its_files_or_from_its_tar(listed: ListedLayer, tmp_path: Path) -> None:
    data = packed_bytes(listed.pack())
    tar = tmp_path / "tar"
    tar.write_bytes(data)
    extent = Extent.whole(os.fsencode(tar), len(data), tar.stat().st_mtime_ns)
    for content in (listed, extent):
        result = worker_tasks.run(worker_tasks.hash_task(content))
        assert worker_tasks.parse_blob_infos(result) == (hash_pieces([data]),)


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="needs memfd_create")
def test_a_layer_is_copied_to_shared_memory(listed: ListedLayer) -> None:
    data = packed_bytes(listed.pack())
    buffer = SharedBuffer(len(data) + 100)
    assert buffer.allocate(50)
    region = buffer.allocate(len(data))
    assert region
    result = worker_tasks.run(worker_tasks.buffer_task(listed, listed.size(), region))
    assert worker_tasks.parse_blob_infos(result) == (hash_pieces([data]),)
    assert bytes(buffer.view(region)) == data
    buffer.close()


@pytest.mark.parametrize("compression", ["none", "gzip:1", "zstd"])
def test_a_blob_is_written_to_a_file(listed: ListedLayer, tmp_path: Path, compression: str) -> None:
    file = tmp_path / "blob"
    file.touch()
    task = worker_tasks.blob_task(listed, os.fsencode(file), LayerCompression.parse(compression), 1)
    plain, blob = worker_tasks.parse_blob_infos(worker_tasks.run(task))
    written = file.read_bytes()
    assert blob == hash_pieces([written])
    assert plain == hash_pieces([b"".join(decode_pieces([written], compression.partition(":")[0]))])


def test_a_file_that_is_missing_is_an_error(listed: ListedLayer, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="nothing"):
        worker_tasks.write_blob_file(
            listed.pack(), os.fsencode(tmp_path / "nothing"), LayerCompression.parse("none"), 1
        )


def test_values_are_sent_and_received_until_the_end(listed: ListedLayer) -> None:
    stream = io.BytesIO()
    tasks = [worker_tasks.hash_task(listed), ("list", [b"/nix/store/x"])]
    for task in tasks:
        worker_tasks.send(stream, task)
    stream.seek(0)
    assert [worker_tasks.receive(stream) for _ in tasks] == tasks
    with pytest.raises(EOFError):
        worker_tasks.receive(stream)


def test_a_reply_is_a_result_or_the_error_of_the_worker() -> None:
    assert worker_tasks.parse_reply("", [1]) == [1]
    with pytest.raises(NotFound, match="x: got nothing, expected it") as caught:
        worker_tasks.parse_reply("NotFound", ("x", "nothing", "it", "look elsewhere"))
    assert caught.value.hint == "look elsewhere"
