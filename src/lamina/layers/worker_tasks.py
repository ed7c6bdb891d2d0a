"""What a member of a crew does: list store paths, hash a layer, write a layer's blob.

Invariant: a task and its answer are values that `marshal` takes, and a task has the same answer in every process.
"""

from __future__ import annotations

import marshal
import os
import sys
from collections.abc import Callable, Mapping
from typing import IO, TYPE_CHECKING, Any

from lamina import errors
from lamina.core.names import Digest
from lamina.core.nodes import Extent
from lamina.errors import Error, output_error
from lamina.formats.listing import Listing
from lamina.formats.tar import Owner
from lamina.layers.packed import ListedLayer, ListedPath, PackedLayer
from lamina.system import shared_memory
from lamina.system.fd_writer import FdWriter
from lamina.system.locations import Location, list_location
from lamina.system.transfer import BlobInfo, HashingWriter, Write, copy, hash_pieces

if TYPE_CHECKING:
    from lamina.compression.compressors import LayerCompression  # most members never compress anything

WorkerTask = tuple[Any, ...]
TaskResult = Any
LayerContent = ListedLayer | Extent
"""What a layer is packed from: the listings of its store paths, or a file in which it lies."""

_LENGTH = 8


def listing_task(locations: list[Location]) -> WorkerTask:
    """Lists the store paths at ``locations``; `parse_listings` reads the answer."""
    return ("list", [_dump_location(location) for location in locations])


def parse_listings(result: TaskResult) -> list[Listing | None]:
    """The listing of each store path, None where it has none (see `list_location`)."""
    return [None if chunks is None else Listing(chunks) for chunks in result]


def hash_task(content: LayerContent) -> WorkerTask:
    """Hashes a layer; `parse_blob_infos` reads the answer."""
    return ("hash", _dump_content(content))


def buffer_task(content: ListedLayer, size: int, region: shared_memory.BufferRange) -> WorkerTask:
    """Lays a layer whose members take ``size`` bytes down at ``region``, which is as large as its tar;
    `parse_blob_infos` reads the answer.
    """
    return ("buffer", _dump_content(content), size, region.fd, region.offset)


def blob_task(content: LayerContent, file: bytes, compression: LayerCompression, jobs: int) -> WorkerTask:
    """Writes a layer to ``file``, which is there and empty; `parse_blob_infos` reads the answer."""
    return ("blob", _dump_content(content), file, str(compression), jobs)


def parse_blob_infos(result: TaskResult) -> tuple[BlobInfo, ...]:
    """What the layer is, and what its blob is where there is one."""
    return tuple(BlobInfo(Digest(raw), size) for raw, size in result)


def run(task: WorkerTask) -> TaskResult:
    """The answer to ``task``. Raises whatever it raises."""
    return _TASKS[task[0]](*task[1:])


def write_blob(packed: PackedLayer, out: Write, compression: LayerCompression, jobs: int) -> tuple[BlobInfo, BlobInfo]:
    """Writes the layer compressed; what it is, and what was written."""
    if compression.is_none:
        plain = HashingWriter(out)
        copy(packed.pieces, plain)
        return plain.blob_info, plain.blob_info
    blob = HashingWriter(out)
    compressor = compression.compressor(blob, jobs)
    plain = HashingWriter(compressor.write)
    copy(packed.pieces, plain)
    compressor.close()
    return plain.blob_info, blob.blob_info


def write_blob_file(
    packed: PackedLayer, file: bytes, compression: LayerCompression, jobs: int
) -> tuple[BlobInfo, BlobInfo]:
    """Likewise, to ``file``, which is there and empty. Raises `OutputError`, and what packing raises."""
    name = os.fsdecode(file)
    try:
        fd = os.open(file, os.O_WRONLY | getattr(os, "O_BINARY", 0))
    except OSError as error:
        raise output_error(name, error) from error
    try:
        return write_blob(packed, FdWriter(fd, name), compression, jobs)
    finally:
        os.close(fd)


def _list_paths(locations: list[Any]) -> TaskResult:
    found = [list_location(_parse_location(data)) for data in locations]
    return [listing and listing.chunks for listing in found]


def _hash_layer(content: tuple[Any, ...]) -> TaskResult:
    return [_dump_info(hash_pieces(_pack_content(content).pieces))]


def _buffer(content: tuple[Any, ...], size: int, fd: int, offset: int) -> TaskResult:
    packed = _parse_layer(content).pack_with_size(size)
    return [_dump_info(hash_pieces(packed.pieces, shared_memory.map_buffer(fd)[offset : offset + packed.size]))]


def _write_blob(content: tuple[Any, ...], file: bytes, compression: str, jobs: int) -> TaskResult:
    from lamina.compression.compressors import LayerCompression

    found = write_blob_file(_pack_content(content), file, LayerCompression.parse(compression), jobs)
    return list(map(_dump_info, found))


_TASKS: Mapping[str, Callable[..., TaskResult]] = {
    "list": _list_paths,
    "hash": _hash_layer,
    "buffer": _buffer,
    "blob": _write_blob,
}


def _dump_info(found: BlobInfo) -> tuple[bytes, int]:
    return found.digest.raw, found.size


def _dump_location(location: Location) -> Any:
    return tuple(location) if isinstance(location, Extent) else location


def _parse_location(data: Any) -> Location:
    return Extent(*data) if isinstance(data, tuple) else data


def _dump_content(content: LayerContent) -> tuple[Any, ...]:
    if isinstance(content, Extent):
        return (tuple(content),)
    owner = content.owner
    parts = [(part.name, _dump_location(part.location), part.listing.chunks) for part in content.parts]
    return parts, (owner.uid, owner.gid, owner.uname, owner.gname), content.mtime


def _pack_content(content: tuple[Any, ...]) -> PackedLayer:
    if len(content) == 1:
        extent = Extent(*content[0])
        return PackedLayer(extent.length, iter((extent,)))
    return _parse_layer(content).pack()


def _parse_layer(content: tuple[Any, ...]) -> ListedLayer:
    parts, owner, mtime = content
    listed = (ListedPath(name, _parse_location(location), Listing(chunks)) for name, location, chunks in parts)
    return ListedLayer(tuple(listed), Owner(*owner), mtime)


def send(stream: IO[bytes], value: tuple[Any, ...]) -> None:
    """Writes ``value``, behind the length of its `marshal`."""
    data = marshal.dumps(value)
    stream.write(len(data).to_bytes(_LENGTH, "little"))
    stream.write(data)
    stream.flush()


def receive(stream: IO[bytes]) -> Any:
    """The next value; raises `EOFError` at the end."""
    length = stream.read(_LENGTH)
    if len(length) < _LENGTH:
        raise EOFError
    return marshal.loads(stream.read(int.from_bytes(length, "little")))  # noqa: S302 - what another of us has written


def parse_reply(reply: tuple[Any, ...]) -> TaskResult:
    """The answer in what a member has sent; raises the `Error` that it had instead."""
    kind, value, hint = reply
    if kind:
        raise getattr(errors, kind)(value, hint=hint)
    return value


def main() -> None:
    """Does what comes in on stdin until it ends, and answers on stdout."""
    import gc
    import signal

    gc.disable()  # what is made here is many small things and no cycles
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who began it is interrupted too, and ends it
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        while True:
            send(replies, _reply(receive(requests)))
    except (EOFError, BrokenPipeError):
        os._exit(0)
    except Exception:  # noqa: BLE001 - whatever it is, it is raised again where the task is done instead
        os._exit(1)


def _reply(task: WorkerTask) -> tuple[Any, ...]:
    try:
        return "", run(task), ""
    except Error as error:
        return type(error).__name__, str(error), error.hint


if __name__ == "__main__":
    sys.exit("lamina.layers.worker_tasks: got started by hand, expected to run as a worker process")
