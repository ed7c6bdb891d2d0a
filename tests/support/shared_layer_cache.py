"""Shared layer caches in folders, and places that fail, for tests."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from lamina.layer_cache.objects import Objects
from lamina.layer_cache.pause import Health
from lamina.layer_cache.shared_cache import SharedLayerCache
from lamina.layer_cache.shared_entries import MAX_WAIT, SharedEntries
from lamina.transports.files import FileTransport


class CountedFolder(FileTransport):
    """A folder that records which objects are read and written."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder.as_uri())
        self.reads: list[str] = []
        self.writes: list[str] = []

    def read(self, name: str, limit: int) -> bytes | None:
        self.reads.append(name)
        return super().read(name, limit)

    def write(self, name: str, data: bytes) -> None:
        self.writes.append(name)
        super().write(name, data)


class StuckFolder(CountedFolder):
    """A folder whose reads do not end until `release` is set."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.release = threading.Event()

    def read(self, name: str, limit: int) -> bytes | None:
        self.release.wait()
        return super().read(name, limit)


def open_entries(
    objects: Objects,
    warnings: list[str],
    max_wait: float = MAX_WAIT,
    clock: Callable[[], float] = time.monotonic,
) -> SharedEntries:
    """Return the entries in ``objects``."""
    return SharedEntries(lambda: objects, objects.label, warnings.append, max_wait=max_wait, health=Health(clock))


@contextlib.contextmanager
def open_shared(
    objects: Objects, file: Path | None = None, *, warnings: int = 0, now: float | None = None
) -> Iterator[SharedLayerCache]:
    """Open a layer cache in front of ``objects`` for the block, in which it must print this number of warnings."""
    texts: list[str] = []
    with SharedLayerCache(file, open_entries(objects, texts), objects.label, texts.append, now) as layer_cache:
        yield layer_cache
    assert len(texts) == warnings, texts


def list_objects(folder: Path) -> list[Path]:
    """Return the files of all objects below ``folder``, by name."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


Damage = Callable[[bytes], bytes]
DAMAGES: dict[str, Damage] = {
    "cut": lambda data: data[:-1],
    "longer": lambda data: data + b"\0",
    "only the first line": lambda data: data[:28],
    "a flipped bit": lambda data: data[:-5] + bytes([data[-5] ^ 1]) + data[-4:],
    "a flipped bit of the checksum": lambda data: data[:30] + bytes([data[30] ^ 1]) + data[31:],
    "of a newer version": lambda data: data.replace(b" 1\n", b" 2\n", 1),
    "foreign": lambda data: b"<html>404 Not Found</html>",
    "zeros": lambda data: bytes(len(data)),
}
