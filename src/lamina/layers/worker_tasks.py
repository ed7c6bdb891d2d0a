"""The tasks of a worker process: list store paths, hash a layer, copy it to shared memory, write its blob, call.

Tasks and results consist of values that `marshal` supports. A task has the same result in every process; the call of a
function, which is pickled, has the result of the function.
"""

from __future__ import annotations

import marshal
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import IO, TYPE_CHECKING, Any, Protocol

from lamina import errors
from lamina.core.callbacks import ignore
from lamina.core.names import Digest
from lamina.core.nodes import Extent
from lamina.errors import Error, output_error
from lamina.formats.listing import Listing
from lamina.formats.tar import Owner
from lamina.layers.packed import ListedLayer, ListedPath, PackedLayer
from lamina.system import shared_memory
from lamina.system.fd_writer import FdWriter, Output
from lamina.system.locations import Location, list_location
from lamina.system.transfer import BlobInfo, HashingWriter, OnBytes, copy, hash_pieces

if TYPE_CHECKING:
    from lamina.compression.compressors import LayerCompression  # imported on demand: most workers never compress

WorkerTask = tuple[Any, ...]
TaskResult = Any


class RunTask(Protocol):
    """Runs a task in a worker process and waits for its result."""

    def __call__(self, task: WorkerTask, on_bytes: OnBytes = ignore) -> TaskResult:
        """Run ``task``; while it writes a blob, call ``on_bytes`` with the number of bytes packed since the last call.

        Raises the `Error` that the task raises.
        """


LayerContent = ListedLayer | Extent
"""The source of a layer's bytes: the listings of its store paths, or the file that contains its tar."""

# The kind of a reply that reports bytes; others are empty, which is a result, or the name of an error.
BYTES = "bytes"
_LENGTH_SIZE = 8
# How often a worker reports the bytes that it has packed, in seconds; a display draws no more often.
_REPORT_INTERVAL = 0.1


def listing_task(locations: list[Location]) -> WorkerTask:
    """Return the task of listing the store paths at ``locations``; `parse_listings` reads its result."""
    return ("list", [_dump_location(location) for location in locations])


def parse_listings(result: TaskResult) -> list[Listing | None]:
    """Parse the listing of each store path; None if a path has no listing (see `list_location`)."""
    return [None if chunks is None else Listing(chunks) for chunks in result]


def hash_task(content: LayerContent) -> WorkerTask:
    """Return the task of hashing a layer; `parse_blob_infos` reads its result."""
    return ("hash", _dump_content(content))


def buffer_task(content: ListedLayer, size: int, region: shared_memory.BufferRange) -> WorkerTask:
    """Return the task of hashing a layer and copying it to shared memory; `parse_blob_infos` reads its result.

    Args:
        content: The layer.
        size: The result of its `ListedLayer.size`, in bytes.
        region: The range of the shared buffer, as large as the layer's tar.
    """
    return ("buffer", _dump_content(content), size, region.fd, region.offset)


def blob_task(content: LayerContent, file: bytes, compression: LayerCompression, jobs: int) -> WorkerTask:
    """Return the task of writing a layer to the empty ``file``; `parse_blob_infos` reads its result."""
    return ("blob", _dump_content(content), file, str(compression), jobs)


def parse_blob_infos(result: TaskResult) -> tuple[BlobInfo, ...]:
    """Parse digest and size of the layer and, if a blob was written, of the blob."""
    return tuple(BlobInfo(Digest(raw), size) for raw, size in result)


def call_task(call: Callable[[], object]) -> WorkerTask:
    """Return the task of calling a function that `pickle` supports; `parse_call_result` reads its result."""
    import pickle

    return ("call", pickle.dumps(call))


def parse_call_result(result: TaskResult) -> Any:
    """Return what a function returned in the other process, or raise the exception that it raised there."""
    import pickle

    has_returned, data = result
    value = pickle.loads(data)  # noqa: S301 - written by our own process
    if has_returned:
        return value
    raise value


def run(task: WorkerTask, on_bytes: OnBytes = ignore) -> TaskResult:
    """Run ``task`` in this process and return its result. Raises whatever the task raises."""
    return _TASKS[task[0]](on_bytes, *task[1:])


def write_blob(
    packed: PackedLayer, out: Output, compression: LayerCompression, jobs: int, on_bytes: OnBytes = ignore
) -> tuple[BlobInfo, BlobInfo]:
    """Write the layer compressed to ``out``; return digest and size of its tar, then of the bytes written."""
    if compression.is_none:
        plain = HashingWriter(out.write)
        copy(packed.pieces, plain, on_bytes)
        return plain.blob_info, plain.blob_info
    blob = HashingWriter(out.write)
    with compression.create_compressor(blob, jobs) as compressor:
        plain = HashingWriter(compressor.write)
        copy(packed.pieces, plain, on_bytes)
    return plain.blob_info, blob.blob_info


def write_blob_file(
    packed: PackedLayer, file: bytes, compression: LayerCompression, jobs: int, on_bytes: OnBytes = ignore
) -> tuple[BlobInfo, BlobInfo]:
    """Write the layer compressed to the existing ``file``; return the same as `write_blob`.

    Raises `OutputError` if the file cannot be written, and whatever packing raises.
    """
    name = os.fsdecode(file)
    try:
        fd = os.open(file, os.O_WRONLY | getattr(os, "O_BINARY", 0))
    except OSError as error:
        raise output_error(name, error) from error
    try:
        return write_blob(packed, FdWriter(fd, name), compression, jobs, on_bytes)
    finally:
        os.close(fd)


def _list_paths(_: OnBytes, locations: list[Any]) -> TaskResult:
    listings = [list_location(_parse_location(data)) for data in locations]
    return [listing and listing.chunks for listing in listings]


def _hash_layer(_: OnBytes, content: tuple[Any, ...]) -> TaskResult:
    return [_dump_info(hash_pieces(_pack_content(content).pieces))]


def _buffer_layer(_: OnBytes, content: tuple[Any, ...], size: int, fd: int, offset: int) -> TaskResult:
    packed = _parse_layer(content).pack_with_size(size)
    return [_dump_info(hash_pieces(packed.pieces, shared_memory.map_buffer(fd)[offset : offset + packed.size]))]


def _write_blob(on_bytes: OnBytes, content: tuple[Any, ...], file: bytes, compression: str, jobs: int) -> TaskResult:
    from lamina.compression.compressors import LayerCompression

    infos = write_blob_file(_pack_content(content), file, LayerCompression.parse(compression), jobs, on_bytes)
    return list(map(_dump_info, infos))


def _call(_: OnBytes, data: bytes) -> TaskResult:
    import gc
    import pickle

    gc.enable()  # a function may make reference cycles, unlike the other tasks
    try:
        return True, pickle.dumps(pickle.loads(data)())  # noqa: S301 - written by our own process
    except Exception as error:  # noqa: BLE001 - the future of the call raises it
        return False, _dump_exception(error)


def _dump_exception(error: Exception) -> bytes:
    """Pickle an exception; its text alone, if `pickle` does not support it."""
    import pickle
    import traceback

    if not isinstance(error, Error):
        error.add_note("".join(traceback.format_exception(error)))
    try:
        data = pickle.dumps(error)
        pickle.loads(data)  # noqa: S301 - as above
    except Exception:  # noqa: BLE001 - the methods of an exception may raise anything
        return pickle.dumps(RuntimeError(f"{type(error).__name__}: {error}"))
    return data


_TASKS: Mapping[str, Callable[..., TaskResult]] = {
    "list": _list_paths,
    "hash": _hash_layer,
    "buffer": _buffer_layer,
    "blob": _write_blob,
    "call": _call,
}


def _dump_info(info: BlobInfo) -> tuple[bytes, int]:
    return info.digest.raw, info.size


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
    """Write ``value``: the length of its `marshal` data, then the data."""
    data = marshal.dumps(value)
    stream.write(len(data).to_bytes(_LENGTH_SIZE, "little"))
    stream.write(data)
    stream.flush()


def receive(stream: IO[bytes]) -> Any:
    """Read the next value. Raises `EOFError` at the end of the stream."""
    length = stream.read(_LENGTH_SIZE)
    if len(length) < _LENGTH_SIZE:
        raise EOFError
    return marshal.loads(stream.read(int.from_bytes(length, "little")))  # noqa: S302 - written by our own process


def parse_reply(kind: str, value: Any) -> TaskResult:
    """Return the result in a worker's reply, or raise the `Error` that the task raised in the worker."""
    if kind:
        subject, got, expected, hint = value
        raise getattr(errors, kind)(subject, got=got, expected=expected, hint=hint)
    return value


def main() -> None:
    """Run the tasks that arrive on stdin and write their replies to stdout, until stdin ends."""
    import gc
    import signal

    gc.disable()  # tasks create many small objects and no reference cycles
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent process is interrupted too, and ends this one
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        while True:
            send(replies, _reply(receive(requests), _BytesReporter(replies)))
    except (EOFError, BrokenPipeError):
        os._exit(0)
    except Exception:  # noqa: BLE001 - the parent runs the task itself and raises the same error there
        os._exit(1)


def _reply(task: WorkerTask, on_bytes: OnBytes) -> tuple[Any, ...]:
    try:
        return "", run(task, on_bytes)
    except Error as error:
        return type(error).__name__, (error.subject, error.got, error.expected, error.hint)


class _BytesReporter:
    """Adds up the bytes that a task reports, and sends the sum from time to time."""

    def __init__(self, replies: IO[bytes]) -> None:
        self._replies = replies
        self._count = 0
        self._sent = time.monotonic()

    def __call__(self, count: int) -> None:
        self._count += count
        now = time.monotonic()
        if now - self._sent >= _REPORT_INTERVAL:
            send(self._replies, (BYTES, self._count))
            self._count, self._sent = 0, now


if __name__ == "__main__":
    sys.exit("lamina.layers.worker_tasks: got started directly, expected to be started by lamina as a worker process")
