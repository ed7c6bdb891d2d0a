"""Remove images from an OCI layout, and the blobs that nothing refers to any more.

The index is replaced before a blob is removed, so that a run that is killed leaves a complete layout with some unneeded
blobs. Nothing is removed while another process writes to the layout, because a writer relies on the blobs that it
found. The format is that of OCI image-spec 1.1, "Image Layout".
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from lamina.errors import FormatError, InputError, InvalidArgument, OutputError, error_context, output_error
from lamina.formats.json_toml import parse_json
from lamina.formats.oci import INDEX, LAYOUT
from lamina.formats.oci_selection import IndexEntry, find_attached, list_blobs, select_entries
from lamina.images.layout_lock import lock_blobs
from lamina.messages.redaction import short_repr
from lamina.messages.sizes import format_size
from lamina.system.documents import read_document
from lamina.system.locks import FileLock
from lamina.system.output import atomic_write

_BLOBS = "blobs"
_ALGORITHMS = ("sha256", "sha512")
_BLOB_NAME = re.compile("[0-9a-f]{64}|[0-9a-f]{128}")
_MAX_DOCUMENT_SIZE = 20 << 20
# The manifest of each entry of an index; None if its blob is missing.
_Manifests: TypeAlias = Mapping[IndexEntry, Mapping[str, Any] | None]


@dataclass(frozen=True, slots=True)
class LayoutImage:
    """An image in an OCI layout.

    Attributes:
        name: ``NAME:TAG``, or only a tag, or the digest if the image has no name.
        digest: the digest of its manifest.

    """

    name: str
    digest: str


@dataclass(frozen=True, slots=True)
class LayoutBlob:
    """A blob of an OCI layout.

    Attributes:
        digest: its digest.
        size: its size in bytes.

    """

    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class LayoutPruneResult:
    """The images and blobs that were removed from an OCI layout, or would be removed.

    Attributes:
        removed: the images that were removed from the index, in its order.
        kept: the images that are left.
        blobs: the blobs that were removed, by digest.

    """

    removed: tuple[LayoutImage, ...]
    kept: tuple[LayoutImage, ...]
    blobs: tuple[LayoutBlob, ...]

    def __repr__(self) -> str:
        blobs = f"{len(self.blobs)} blobs, {format_size(self.size)}"
        return f"<LayoutPruneResult: {len(self.removed)} images removed, {len(self.kept)} kept, {blobs}>"

    @property
    def size(self) -> int:
        """The size of the removed blobs, in bytes."""
        return sum(blob.size for blob in self.blobs)


def prune(
    layout: Path, keep: Collection[str] = (), keep_last: int | None = None, *, dry_run: bool = False
) -> LayoutPruneResult:
    """Remove from the layout every image that is not kept, and every blob that no image refers to.

    Args:
        layout: the folder of the layout.
        keep: tags, names and digests of images to keep, with the wildcards of a shell.
        keep_last: how many of the last written tags of each name to keep. Without ``keep`` and ``keep_last``, all
            images are kept and only unneeded blobs are removed.
        dry_run: whether to only determine what would be removed.

    Raises:
        InputError: the folder is missing.
        InvalidArgument: the folder is not a layout.
        NotFound: nothing matches one of ``keep``.
        FormatError: the index or a manifest is invalid or missing.
        Unavailable: another process writes to the layout.
        OutputError: the layout cannot be locked or changed.

    """
    _check_layout(layout)
    with lock_blobs(layout, shared=dry_run) as lock:
        if not lock.is_held and not dry_run:
            raise OutputError(layout, "no lock on it", "to remove blobs there")
        with FileLock(layout / LAYOUT, str(layout)), error_context(layout, FormatError):
            index = _read_json(layout / INDEX)
            entries = _parse_entries(index or {})
            manifests = {entry: _read_json(_blob_file(layout, entry.digest)) for entry in entries}
            kept = _add_attached(select_entries(entries, keep, keep_last), manifests)
            _check_complete(kept, manifests)
            used = _find_used(layout, kept)
            unused = sorted(_list_unused(layout, used), key=lambda blob: blob.digest)
            removed = [entry for entry in entries if entry not in kept]
            if removed and not dry_run:
                _write_index(layout, {**(index or {}), "manifests": [entry.item for entry in entries if entry in kept]})
        if not dry_run:
            _remove_blobs(layout, unused)
    return LayoutPruneResult(
        tuple(LayoutImage(entry.name, entry.digest) for entry in removed),
        tuple(LayoutImage(entry.name, entry.digest) for entry in entries if entry in kept),
        tuple(unused),
    )


def _check_layout(layout: Path) -> None:
    if not os.path.lexists(layout):
        raise InputError(layout, "nothing there", "the folder of an OCI layout")
    if not os.path.isfile(layout / LAYOUT):
        got = f"a folder without {LAYOUT}" if os.path.isdir(layout) else "a file"
        raise InvalidArgument(layout, got, "the folder of an OCI layout")


def _read_json(file: Path) -> dict[str, Any] | None:
    """Return the object in ``file``, None if there is no file. Raises `FormatError` and `InputError`."""
    if not os.path.lexists(file):
        return None
    data = read_document(file, str(file), "JSON, as in an OCI layout", limit=_MAX_DOCUMENT_SIZE)
    document = parse_json(data, file.name, "JSON, as in an OCI layout")
    if not isinstance(document, dict):
        raise FormatError(file.name, short_repr(document), "an object, as in an OCI layout")
    return document


def _parse_entries(index: Mapping[str, Any]) -> tuple[IndexEntry, ...]:
    items = index.get("manifests") or ()
    if not isinstance(items, list | tuple):
        raise FormatError(INDEX, short_repr(items), "a list of manifests")
    return tuple(map(IndexEntry.parse, items))


def _blob_file(layout: Path, digest: str) -> Path:
    algorithm, _, name = digest.partition(":")
    return layout / _BLOBS / algorithm / name


def _check_complete(kept: Collection[IndexEntry], manifests: _Manifests) -> None:
    """Raise `FormatError` if a kept image has no manifest, because the blobs that it needs are then unknown."""
    for entry in kept:
        if manifests[entry] is None:
            raise FormatError(entry.name, f"no blob {entry.digest}", "the manifest of the image")


def _add_attached(kept: frozenset[IndexEntry], manifests: _Manifests) -> frozenset[IndexEntry]:
    """Return ``kept`` and all signatures and other artifacts that are attached to them, directly or indirectly."""
    while True:
        digests = {entry.digest for entry in kept}
        attached = {entry for entry, found in manifests.items() if find_attached(entry, found or {}) in digests}
        if attached <= kept:
            return kept
        kept |= attached


def _find_used(layout: Path, entries: Collection[IndexEntry]) -> frozenset[str]:
    """Return the digests of all blobs that the entries need."""
    used: set[str] = set()
    pending = [(entry.digest, True) for entry in entries]
    while pending:
        digest, has_references = pending.pop()
        if digest in used:
            continue
        used.add(digest)
        # An index may name the manifests of platforms that the layout lacks.
        document = _read_json(_blob_file(layout, digest)) if has_references else None
        pending += list_blobs(document or {})
    return frozenset(used)


def _list_unused(layout: Path, used: Collection[str]) -> Iterator[LayoutBlob]:
    for algorithm in _ALGORITHMS:
        folder = layout / _BLOBS / algorithm
        try:
            with os.scandir(folder) as found:
                for file in found:
                    digest = f"{algorithm}:{file.name}"
                    if digest not in used and _BLOB_NAME.fullmatch(file.name) and file.is_file(follow_symlinks=False):
                        yield LayoutBlob(digest, file.stat(follow_symlinks=False).st_size)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise InputError(folder, error, "to list the blobs") from error


def _write_index(layout: Path, index: Mapping[str, Any]) -> None:
    with atomic_write(layout / INDEX) as out:
        out.write(memoryview(json.dumps(index, indent=2).encode()))


def _remove_blobs(layout: Path, blobs: Collection[LayoutBlob]) -> None:
    for blob in blobs:
        file = _blob_file(layout, blob.digest)
        try:
            file.unlink(missing_ok=True)
        except OSError as error:
            raise output_error(str(file), error) from error
