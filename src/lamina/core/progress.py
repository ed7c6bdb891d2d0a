"""The progress of long work: the base class of displays, and the objects that its methods receive.

Invariant: for each piece of work, `Progress.begin` is called first and `Progress.done` last. Each item advances by its
size in all, and is finished once; `lamina.system.progress_reporter` ensures this. An error ends the work without a call
of `Progress.done`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from lamina.core.names import StorePath
from lamina.errors import InvalidArgument
from lamina.messages.redaction import short_repr

PACKED: str = "packed"
"""The bytes were made from files on this machine."""
COPIED: str = "copied"
"""The bytes were copied unchanged from a file, such as a base image."""
FETCHED: str = "fetched"
"""The bytes were downloaded during this run."""
REUSED: str = "reused"
"""The digest was already known, or the blob was already at its destination."""
SENT: str = "sent"
"""The bytes were uploaded, or copied to another store."""
MOUNTED: str = "mounted"
"""The registry took the blob from another of its repositories, so no bytes were sent."""
INTACT: str = "intact"
DAMAGED: str = "damaged"
ABSENT: str = "absent"
"""The hash of the bytes matches the recorded one, or does not match, or the bytes are not on this machine."""


class ProgressSubject(Protocol):
    """The subject of an item of work: a layer, or a store path."""

    @property
    def name(self) -> str:
        """A short name for people, such as ``openssl-3.0.14``."""

    def headline(self, number: int) -> str:
        """Return the line in the style of nixpkgs' builder that announces item ``number``, counted from 1."""


class StorePathSubject:
    """A store path as the subject of an item."""

    __slots__ = ("_path",)

    def __init__(self, path: StorePath) -> None:
        self._path = path

    @property
    def name(self) -> str:
        """The name of the store path, without its hash."""
        return self._path.name

    def headline(self, number: int) -> str:
        """Return the line that Nix prints for a path that it copies."""
        return f"copying path '{self._path}'..."


class FileSubject:
    """A file as the subject of an item: an image, a blob, an export, or a source that is added to a store."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name: str = name

    def headline(self, number: int) -> str:
        """Return a line about the file."""
        return f"reading '{self.name}'..."


class ProgressItem:
    """One part of the work: a layer of an image, or a store path. Items are equal only to themselves.

    Attributes:
        number: the position in the work, counted from 1.
        size: the number of bytes that the item advances by in all. For a layer of store paths this is the size of their
            NARs, because the size of its tar is not known before the paths have been listed.
        subject: the layer or the store path.

    """

    __slots__ = ("number", "size", "subject")

    def __init__(self, number: int, size: int, subject: ProgressSubject) -> None:
        self.number: int = number
        self.size: int = size
        self.subject: ProgressSubject = subject

    @property
    def name(self) -> str:
        """A short name for people, such as ``openssl-3.0.14 +37`` for a layer of 38 store paths."""
        return self.subject.name

    def __repr__(self) -> str:
        return f"ProgressItem({self.number}, {self.size}, {short_repr(self.name)})"


@dataclass(frozen=True, slots=True)
class Work:
    """A piece of work that is about to start.

    Attributes:
        title: the name of the result for people, such as ``hello:1.4``.
        items: the parts of the work, in order.
        unit: the kind of an item: ``layer``, ``path`` or ``file``.
        headline: the line of nixpkgs' builder that announces the work; empty if there is none.

    """

    title: str
    items: tuple[ProgressItem, ...]
    unit: str = "layer"
    headline: str = ""

    @classmethod
    def of_paths(cls, title: str, paths: Iterable[tuple[StorePath, int]]) -> Work:
        """Return the work of which each store path, given with the size of its NAR in bytes, is an item."""
        items = (ProgressItem(number, size, StorePathSubject(path)) for number, (path, size) in enumerate(paths, 1))
        return cls(title, tuple(items), "path")

    @property
    def size(self) -> int:
        """The number of bytes that all items advance by; 0 if it is unknown."""
        return sum(item.size for item in self.items)


class Progress:
    """Receives the progress of long work: writing an image, or copying store paths.

    The methods do nothing; a subclass overrides those that it needs. They may be called from several threads, but never
    at the same time. Several items may be worked on at once. An error that a method raises ends the work.

    All calls of `advance` for an item that is finished add up to its ``size``, so those of all the work add up to
    ``work.size``:

        class Percentage(lamina.Progress):
            def begin(self, work):
                self.total, self.count = work.size, 0

            def advance(self, item, size):
                self.count += size
                print(f"{self.count / self.total:.0%} {item.name}")

        lamina.build_layered_image(…, output="hello.tar", progress=Percentage())
    """

    def begin(self, work: Work) -> None:
        """Report that ``work`` is about to be done; the same object may receive several pieces of work in turn."""

    def start(self, item: ProgressItem) -> None:
        """Report that ``item`` is being worked on, perhaps together with others."""

    def advance(self, item: ProgressItem, size: int) -> None:
        """Report that ``size`` more bytes of ``item`` are done.

        All calls for an item add up to ``item.size`` when it is finished: the last call counts what is left, and an
        item that takes more bytes than expected stays at its size. If ``work.size`` is 0, such as when a stream is
        read, the calls count the bytes that were read.
        """

    def finish(self, item: ProgressItem, outcome: str, size: int) -> None:
        """Report that ``item`` is done.

        Args:
            item: the item. An item that was already at its destination is not started; it advances by its size at once.
            outcome: the result in one word: ``packed``, ``copied``, ``fetched``, ``reused``, ``sent`` or
                ``mounted``; when a store or a layer cache is verified, ``intact``, ``damaged`` or ``absent``. Later
                versions may add other words.
            size: the actual size in bytes, such as that of a layer's tar.

        """

    def documents(self) -> None:
        """Report that all layers of an image are written, and that its JSON documents are next."""

    def done(self) -> None:
        """Report that the work is done."""


def check_progress(progress: Progress | None) -> Progress | None:
    """Return the argument ``progress``. Raises `InvalidArgument` if it is not an object of a subclass of `Progress`."""
    if progress is None or isinstance(progress, Progress):
        return progress
    raise InvalidArgument("progress", short_repr(progress), "an object of a subclass of lamina.Progress")
