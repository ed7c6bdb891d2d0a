"""Wait until one of several files changes.

The folders of the files are watched instead of the files themselves, because editors and Nix replace a file or a link
by another one of the same name.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Self

from watchdog.events import (
    DirModifiedEvent,
    FileClosedNoWriteEvent,
    FileOpenedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer

from lamina.errors import InputError

_QUIET = 0.1
"""A change is reported after so many seconds without another one, because programs write a file in several steps."""
_MAX_CHANGES = 10_000
# Reading causes these, or they come with another event.
_IGNORED = (FileOpenedEvent, FileClosedNoWriteEvent, DirModifiedEvent)


class FileWatch(FileSystemEventHandler):
    """Watches ``files`` from the start of its block; a context manager.

    Args:
        files: files, links and folders, which need not exist. Of a folder, everything in it counts.
    """

    def __init__(self, files: Collection[Path]) -> None:
        self._files = {os.path.abspath(file) for file in files}
        self._changes: SimpleQueue[str] = SimpleQueue()
        self._observer = Observer()

    def __enter__(self) -> Self:
        """Begin to watch. Raises `InputError` if the system does not allow to watch a folder."""
        folders = {os.path.dirname(file) for file in self._files}
        try:
            for folder in filter(os.path.isdir, folders):
                self._observer.schedule(self, folder)
            for file in self._files:
                if os.path.isdir(file) and not os.path.islink(file):
                    self._observer.schedule(self, file, recursive=True)
            self._observer.start()
        except OSError as error:
            raise InputError("files to watch", error, "folders that can be watched") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._observer.stop()
        self._observer.join()

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Note a change; watchdog calls this in a thread of its own."""
        if isinstance(event, _IGNORED):
            return
        for name in map(os.fsdecode, (event.src_path, event.dest_path)):
            if self._is_watched(name):
                self._changes.put(name)

    def _is_watched(self, name: str) -> bool:
        return any(parent in self._files for parent in (name, *map(str, Path(name).parents)))

    def wait(self) -> str:
        """Wait for a change that was not reported yet, until nothing changes any more; return the name of the file."""
        changed = self._changes.get()
        with contextlib.suppress(Empty):
            for _ in range(_MAX_CHANGES):
                self._changes.get(timeout=_QUIET)
        return changed
