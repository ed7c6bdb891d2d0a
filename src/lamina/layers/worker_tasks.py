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
from lamina.errors import Error, failed
from lamina.formats.listing import Listing
from lamina.formats.tar import Owner
from lamina.layers.packed import ListedLayer, ListedPath, Packed
from lamina.system import shared_memory
from lamina.system.fd_writer import Outlet
from lamina.system.locations import Place, list_place
from lamina.system.transfer import Measure, Tally, Write, copy, measure

if TYPE_CHECKING:
    from lamina.compression.compressors import LayerCompression  # most members never compress anything

Task = tuple[Any, ...]
Answer = Any
Content = ListedLayer | Extent
"""What a layer is packed from: the listings of its store paths, or a file in which it lies."""

_LENGTH = 8


def listing_task(places: list[Place]) -> Task:
    """Lists the store paths at ``places``; `listings_in` reads the answer."""
    return ("list", [_sent_place(place) for place in places])


def listings_in(answer: Answer) -> list[Listing | None]:
    """The listing of each store path, None where it has none (see `list_place`)."""
    return [None if chunks is None else Listing(chunks) for chunks in answer]


def measure_task(content: Content) -> Task:
    """Hashes a layer; `measures_in` reads the answer."""
    return ("measure", _dumped(content))


def spool_task(content: ListedLayer, size: int, place: shared_memory.Place) -> Task:
    """Lays a layer whose members take ``size`` bytes down at ``place``, which is as large as its tar; `measures_in`
    reads the answer.
    """
    return ("spool", _dumped(content), size, place.number, place.offset)


def blob_task(content: Content, file: bytes, compression: LayerCompression, jobs: int) -> Task:
    """Writes a layer to ``file``, which is there and empty; `measures_in` reads the answer."""
    return ("blob", _dumped(content), file, str(compression), jobs)


def measures_in(answer: Answer) -> tuple[Measure, ...]:
    """What the layer is, and what its blob is where there is one."""
    return tuple(Measure(Digest(raw), size) for raw, size in answer)


def run(task: Task) -> Answer:
    """The answer to ``task``. Raises whatever it raises."""
    return _TASKS[task[0]](*task[1:])


def write_blob(packed: Packed, out: Write, compression: LayerCompression, jobs: int) -> tuple[Measure, Measure]:
    """Writes the layer compressed; what it is, and what was written."""
    if compression.is_none:
        plain = Tally(out)
        copy(packed.pieces, plain)
        return plain.measure, plain.measure
    blob = Tally(out)
    compressor = compression.compressor(blob, jobs)
    plain = Tally(compressor.write)
    copy(packed.pieces, plain)
    compressor.close()
    return plain.measure, blob.measure


def write_file(packed: Packed, file: bytes, compression: LayerCompression, jobs: int) -> tuple[Measure, Measure]:
    """Likewise, to ``file``, which is there and empty. Raises `OutputError`, and what packing raises."""
    name = os.fsdecode(file)
    try:
        number = os.open(file, os.O_WRONLY | getattr(os, "O_BINARY", 0))
    except OSError as error:
        raise failed(name, error) from error
    try:
        return write_blob(packed, Outlet(number, name), compression, jobs)
    finally:
        os.close(number)


def _list(places: list[Any]) -> Answer:
    found = [list_place(_place(sent)) for sent in places]
    return [listing and listing.chunks for listing in found]


def _measure(content: tuple[Any, ...]) -> Answer:
    return [_sent(measure(_packed(content).pieces))]


def _spool(content: tuple[Any, ...], size: int, number: int, offset: int) -> Answer:
    packed = _listed(content).pack_of(size)
    return [_sent(measure(packed.pieces, shared_memory.laid_open(number)[offset : offset + packed.size]))]


def _blob(content: tuple[Any, ...], file: bytes, compression: str, jobs: int) -> Answer:
    from lamina.compression.compressors import LayerCompression

    found = write_file(_packed(content), file, LayerCompression.parse(compression), jobs)
    return list(map(_sent, found))


_TASKS: Mapping[str, Callable[..., Answer]] = {"list": _list, "measure": _measure, "spool": _spool, "blob": _blob}


def _sent(found: Measure) -> tuple[bytes, int]:
    return found.digest.raw, found.size


def _sent_place(place: Place) -> Any:
    return tuple(place) if isinstance(place, Extent) else place


def _place(sent: Any) -> Place:
    return Extent(*sent) if isinstance(sent, tuple) else sent


def _dumped(content: Content) -> tuple[Any, ...]:
    if isinstance(content, Extent):
        return (tuple(content),)
    owner = content.owner
    parts = [(part.name, _sent_place(part.place), part.listing.chunks) for part in content.parts]
    return parts, (owner.uid, owner.gid, owner.uname, owner.gname), content.mtime


def _packed(content: tuple[Any, ...]) -> Packed:
    if len(content) == 1:
        extent = Extent(*content[0])
        return Packed(extent.length, iter((extent,)))
    return _listed(content).pack()


def _listed(content: tuple[Any, ...]) -> ListedLayer:
    parts, owner, mtime = content
    listed = (ListedPath(name, _place(place), Listing(chunks)) for name, place, chunks in parts)
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


def answered(reply: tuple[Any, ...]) -> Answer:
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


def _reply(task: Task) -> tuple[Any, ...]:
    try:
        return "", run(task), ""
    except Error as error:
        return type(error).__name__, str(error), error.hint


if __name__ == "__main__":
    sys.exit("lamina.layers.worker_tasks: got started by hand, expected to be a member of a crew")
