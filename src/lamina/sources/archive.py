"""A docker-archive on disk, read in one pass.

Invariant: what `inspect` reports was read from the bytes: every digest was computed, and one that the archive's own
documents contradict raises `IntegrityError`. Nothing is unpacked and nothing large is held.
"""

from __future__ import annotations

import hashlib
import io
import json
import posixpath
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from lamina.errors import FormatError, IntegrityError, InvalidName, NotFound, Unavailable, shown
from lamina.names import STORE_DIR, Digest, StorePath
from lamina.sources.decompression import broken, decompressed

# The longest document that containerd reads.
_LONGEST_DOCUMENT = 20 << 20
# More than any image has: an archive that goes on without end must not be held.
_MOST_DOCUMENTS = 64 << 20
_MOST_MEMBERS = 20_000
_CHUNK = 1 << 20
_TAR_MAGIC = slice(257, 262), b"ustar"
# What tarfile raises where a number in a header is none.
_TARFILES_OWN = (ValueError, OverflowError, LookupError)
_STORE_MEMBER = re.compile(rf"/?(?:\./)?{STORE_DIR[1:]}/([^/]+)")


@dataclass(frozen=True, slots=True)
class FoundLayer:
    """A layer: diff ID of the tar, digest and size of the blob that holds it, and the store paths in it."""

    diff_id: Digest
    digest: Digest
    size: int
    paths: tuple[StorePath, ...]


@dataclass(frozen=True, slots=True)
class FoundImage:
    """One image of an archive; ``config`` is its whole JSON."""

    digest: Digest
    repo_tags: tuple[str, ...]
    layers: tuple[FoundLayer, ...]
    config: Any


@dataclass(frozen=True, slots=True)
class _Blob:
    """A member of the archive; ``document`` is its text where it may be one of the archive's documents."""

    diff_id: Digest
    digest: Digest
    size: int
    paths: tuple[StorePath, ...]
    document: bytes


def read_archive(path: Path) -> tuple[FoundImage, ...]:
    """The images in the file at ``path``: a docker-archive, plain or compressed with gzip or zstd.

    Raises `NotFound` and `Unavailable` where it cannot be read, `FormatError` where it is no such archive or not whole,
    `IntegrityError` where it contradicts itself.
    """
    members = _read(path)
    try:
        manifest = _document(members, "manifest.json")
        if not isinstance(manifest, list) or not manifest:
            raise FormatError(
                f"manifest.json: got {shown(manifest)}, expected a list of images, as in a docker-archive"
            )
        return tuple(_image(members, entry) for entry in manifest)
    except (FormatError, IntegrityError) as error:
        raise type(error)(f"{path}: {error}") from error


def _read(path: Path) -> dict[str, _Blob]:
    try:
        with _opened(path) as file:
            return _members(decompressed(file))
    except NotFound:
        raise
    except Exception as error:
        if isinstance(error, (tarfile.TarError, *broken(), *_TARFILES_OWN)):
            raise FormatError(f"{path}: got {error}, expected a whole docker-archive") from error
        if isinstance(error, OSError):
            raise Unavailable(f"{path}: got {error.strerror}, expected a readable image file") from error
        raise


def _opened(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise NotFound(f"{path}: got {error.strerror}, expected an image file") from error
    except ValueError as error:
        raise NotFound(f"{str(path)!r}: got {error}, expected an image file") from error


def _members(stream: IO[bytes]) -> dict[str, _Blob]:
    blobs: dict[str, _Blob] = {}
    links: dict[str, str] = {}
    with tarfile.open(fileobj=_ending(stream), mode="r|") as archive:
        for number, member in enumerate(archive):
            archive.members = []  # type: ignore[attr-defined]  # else it keeps every header
            name = posixpath.normpath(member.name)
            content = archive.extractfile(member) if member.isfile() else None
            if content:
                blobs[name] = _blob(content)
            elif member.issym() or member.islnk():
                folder = posixpath.dirname(name) if member.issym() else ""
                links[name] = posixpath.normpath(posixpath.join(folder, member.linkname))
            if number > _MOST_MEMBERS or sum(len(blob.document) for blob in blobs.values()) > _MOST_DOCUMENTS:
                raise tarfile.ReadError(f"more than {_MOST_MEMBERS} members or {_MOST_DOCUMENTS} bytes of JSON")
    # What follows the end of a tar may be a compressor's own check.
    _drain(stream)
    return blobs | {name: blobs[target] for name, target in links.items() if target in blobs}


def _blob(content: IO[bytes]) -> _Blob:
    outer = _Hashed(content)
    outer_reader = io.BufferedReader(outer)
    inner = _Hashed(decompressed(outer_reader))
    reader = io.BufferedReader(inner, _CHUNK)
    place, magic = _TAR_MAGIC
    document = b""
    paths: tuple[StorePath, ...] = ()
    if reader.peek(place.stop)[place] == magic:
        paths = _store_paths(reader)
    else:
        document = reader.read(_LONGEST_DOCUMENT)
    _drain(reader)
    _drain(outer_reader)
    return _Blob(inner.digest, outer.digest, outer.size, paths, document if document[:1] in (b"{", b"[") else b"")


def _store_paths(layer: IO[bytes]) -> tuple[StorePath, ...]:
    """The store paths whose files are in a layer's tar, in its order."""
    bases: dict[str, None] = {}
    with tarfile.open(fileobj=_ending(layer), mode="r|") as archive:
        for member in archive:
            found = _STORE_MEMBER.match(member.name)
            if found:
                bases[found[1]] = None
            archive.members = []  # type: ignore[attr-defined]  # else it keeps every header
    return tuple(path for path in map(_store_path, bases) if path)


def _store_path(base: str) -> StorePath | None:
    try:
        return StorePath.parse_base(base)
    except InvalidName:
        return None


def _image(members: dict[str, _Blob], entry: Any) -> FoundImage:
    names = _texts("manifest.json: Layers", _item(entry, "manifest.json", "Layers"))
    tags = _texts("manifest.json: RepoTags", entry.get("RepoTags") or [])
    (name,) = _texts("manifest.json: Config", [_item(entry, "manifest.json", "Config")])
    blob = _member(members, name)
    config = _document(members, name)
    diff_ids = [*map(_digest, _texts(f"{name}: diff_ids", _item(_item(config, name, "rootfs"), name, "diff_ids")))]
    layers = [_member(members, name) for name in names]
    if len(diff_ids) != len(layers):
        raise IntegrityError(f"rootfs: got {len(diff_ids)} diff IDs, expected {len(layers)}, one for each layer")
    named = re.search("[0-9a-f]{64}", name)
    if named and named[0] != blob.digest.hex:
        raise IntegrityError(f"config: got {blob.digest}, expected sha256:{named[0]}")
    for number, (layer, diff_id) in enumerate(zip(layers, diff_ids, strict=True), 1):
        if layer.diff_id != diff_id:
            raise IntegrityError(f"layer {number}: got {layer.diff_id}, expected {diff_id}")
    found = tuple(FoundLayer(layer.diff_id, layer.digest, layer.size, layer.paths) for layer in layers)
    return FoundImage(blob.digest, tuple(tags), found, config)


def _document(members: dict[str, _Blob], name: str) -> Any:
    try:
        return json.loads(_member(members, name).document)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{name}: got {error}, expected JSON, as in a docker-archive") from error


def _member(members: dict[str, _Blob], name: str) -> _Blob:
    found = members.get(posixpath.normpath(name))
    if found is None:
        raise FormatError(f"got no {name}, expected a docker-archive")
    return found


def _item(value: Any, where: str, key: str) -> Any:
    if not isinstance(value, dict) or key not in value:
        raise FormatError(f"{where}: got {shown(value)}, expected an object with {key}, as in a docker-archive")
    return value[key]


def _texts(where: str, value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise FormatError(f"{where}: got {shown(value)}, expected a text or a list of them, as in a docker-archive")
    return value


def _digest(text: str) -> Digest:
    try:
        return Digest.parse(text)
    except InvalidName as error:
        raise FormatError(str(error)) from error


def _drain(stream: IO[bytes]) -> None:
    while stream.read(_CHUNK):
        pass


def _ending(stream: IO[bytes]) -> IO[bytes]:
    return cast("IO[bytes]", _Ending(stream))


class _Ending:
    """A stream that says when it has ended: tarfile would read on until a size was reached that no file has."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._patience = 100

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(size)
        if not data:
            self._patience -= 1
            if not self._patience:
                raise EOFError("the end inside a member")
        return data


class _Hashed(io.RawIOBase):
    """A stream that knows the digest and length of what was read from it."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()
        self.size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        self._hash.update(data)
        self.size += len(data)
        return len(data)

    @property
    def digest(self) -> Digest:
        return Digest(self._hash.digest())
