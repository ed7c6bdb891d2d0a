"""Read and check the documents and layers of an image file, each of them once.

The limits below are larger than any genuine image needs. They prevent a small file from using much memory or time. No
layer is held in memory.

Invariant: the digest of every returned blob has been computed and checked, unless the layers are left unread.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any

from lamina.compression.streams import MAGIC_SIZE, detect_compression
from lamina.core.names import STORE_DIR, Digest, StorePath
from lamina.core.nodes import Extent
from lamina.core.progress import INTACT, REUSED, FileSubject, Progress, ProgressItem, Work
from lamina.errors import FormatError, IntegrityError, InvalidArgument
from lamina.formats.platform import NO_PLATFORM, Platform
from lamina.formats.tar_reader import EntryKind, Read, TarHeader, read_headers
from lamina.images.readers.documents import DocumentParser, JsonDocument, parse_diff_ids
from lamina.images.readers.members import Members
from lamina.images.readers.source_image import SourceImage, SourceLayer
from lamina.images.readers.unpack import Unpacker
from lamina.messages.redaction import short_repr
from lamina.system.extents import iter_extent, open_reader, read_head
from lamina.system.progress_reporter import ProgressReporter
from lamina.system.transfer import BlobInfo, OnBytes, hash_pieces

# Reading this many headers takes about ten seconds; an image of a whole distribution has a few hundred thousand.
_MAX_MEMBERS = 2_000_000
# The closure of a whole system has a few thousand.
_MAX_STORE_PATHS = 200_000
_STORE_MEMBER = re.compile(rb"/*(?:\./+)*%s/+([^/]+)" % STORE_DIR[1:].encode())
_NAMED_BLOB = re.compile(r"(?:.*/)?blobs/sha256/([0-9a-f]{64})")
_NAMED_CONFIG = re.compile(r"(?:.*/)?([0-9a-f]{64})(?:\.json)?")


class Blobs:
    """Reads images from ``members`` and checks them. ``unpacker`` decompresses compressed data.

    With ``reads_layers`` false, the layers are only located: they have the digests that the documents state, no store
    paths, and their blob in place of the tar.
    """

    def __init__(
        self, members: Members, unpacker: Unpacker, progress: Progress | None = None, *, reads_layers: bool = True
    ) -> None:
        self._reads_layers = reads_layers
        self._members = members
        self._progress = ProgressReporter(progress)
        self._unpacker = unpacker
        self._contents_by_blob: dict[Extent, _BlobContent] = {}
        self._store_paths_by_blob: dict[Extent, Mapping[StorePath, int]] = {}
        self._documents = DocumentParser()
        self._member_count = 0

    def has(self, name: str) -> bool:
        """Return whether the member ``name`` exists."""
        return self._members.find(name) is not None

    def find(self, name: str) -> Extent:
        """Return the member ``name``. Raises `FormatError` if there is none."""
        member = self._members.find(name)
        if member is None:
            raise FormatError(got=f"no {name}", expected="an image file: a docker-archive or an OCI layout")
        return member

    def read_document(self, name: str) -> JsonDocument:
        """Parse the member ``name`` as JSON. Raises `FormatError` if it is invalid or too large."""
        extent = self.find(name)
        self._documents.check_size(name, extent.length)
        return self._documents.parse(name, read_head(extent, extent.length))

    def read_image(
        self,
        config_name: str,
        layer_names: list[str],
        *,
        repo_tags: tuple[str, ...] = (),
        index_platform: Platform = NO_PLATFORM,
    ) -> SourceImage:
        """Read and check the image with this config and these layers.

        Args:
            config_name: the member that is the image's config.
            layer_names: the members that are its layers, from the lowest up.
            repo_tags: the image's names.
            index_platform: the platform that an index states for it.

        Raises:
            FormatError: a document or a layer is invalid.
            IntegrityError: the config, the digest in its name and the layers do not match.

        """
        self._documents.check_layer_count(config_name, len(layer_names))
        config = self.read_document(config_name)
        name_match = _NAMED_CONFIG.fullmatch(config_name)
        if name_match and name_match[1] != config.digest.hex:
            raise IntegrityError("config", config.digest, f"sha256:{name_match[1]}")
        blobs = [self.find(name) for name in layer_names]
        diff_ids = parse_diff_ids(config.value, config_name, len(blobs))
        if not self._reads_layers:
            located = tuple(map(self._locate_layer, layer_names, blobs, diff_ids))
            return SourceImage(
                config.digest, repo_tags, config.text, config.value, located, index_platform=index_platform
            )
        items = tuple(map(ProgressItem, count(1), (blob.length for blob in blobs), map(FileSubject, layer_names)))
        self._progress.begin(Work(repo_tags[0] if repo_tags else config_name, items))
        layers = tuple(map(self._read_layer, items, layer_names, blobs, diff_ids))
        self._progress.done()
        return SourceImage(config.digest, repo_tags, config.text, config.value, layers, index_platform=index_platform)

    def _locate_layer(self, name: str, blob: Extent, diff_id: Digest) -> SourceLayer:
        digest, workspace = find_stated_digest(name) or diff_id, self._unpacker.workspace
        return SourceLayer(name, diff_id, digest, blob.length, (), (), blob, blob, workspace, is_read=False)

    def _read_layer(self, item: ProgressItem, name: str, blob: Extent, diff_id: Digest) -> SourceLayer:
        is_known = blob in self._contents_by_blob
        try:
            if not is_known:
                self._progress.start(item)
                self._contents_by_blob[blob] = self._read_content(blob, partial(self._progress.advance, item))
            content = self._contents_by_blob[blob]
            if find_stated_digest(name) not in (None, content.blob.digest):
                raise _make_digest_error(content.blob.digest)
            if content.uncompressed.digest != diff_id:
                raise IntegrityError(f"layer {item.number}", content.uncompressed.digest, diff_id)
            if blob not in self._store_paths_by_blob:
                self._store_paths_by_blob[blob] = self._find_store_paths(content.tar)
            sizes = self._store_paths_by_blob[blob]
        except FormatError as error:
            if damage := _find_damage(name, blob):
                raise damage.add_context(name) from error
            error.add_context(name)
            raise
        except IntegrityError as error:
            error.add_context(name)
            raise
        self._progress.finish(item, REUSED if is_known else INTACT, blob.length)
        return SourceLayer(
            name,
            diff_id,
            content.blob.digest,
            content.blob.size,
            tuple(sizes),
            tuple(sizes.values()),
            blob,
            content.tar,
            self._unpacker.workspace,
        )

    def _read_content(self, blob: Extent, on_bytes: OnBytes) -> _BlobContent:
        if detect_compression(read_head(blob, MAGIC_SIZE)) == "none":
            blob_info = hash_pieces([blob], on_bytes=on_bytes)
            return _BlobContent(blob_info, blob_info, blob)
        with open_reader(blob) as read:
            unpacked = self._unpacker.unpack(_ExtentStream(blob, read, on_bytes))
        return _BlobContent(unpacked.outer, unpacked.inner, unpacked.content)

    def _find_store_paths(self, tar: Extent) -> Mapping[StorePath, int]:
        """Return the store paths of which the layer ``tar`` has members, in the tar's order, with their files' sizes.

        Raises `FormatError` for names that lead out of the root, and if there are too many members.
        """
        sizes: dict[bytes, int] = {}
        with open_reader(tar) as read:
            for header in read_headers(read, tar.length):
                self._member_count += 1
                if self._member_count > _MAX_MEMBERS:
                    raise FormatError(got=f"more than {_MAX_MEMBERS} members in all layers", expected="fewer")
                check_member_names(header)
                match = _STORE_MEMBER.match(header.name)
                if match:
                    sizes[match[1]] = sizes.get(match[1], 0) + header.size
                    if len(sizes) > _MAX_STORE_PATHS:
                        raise FormatError(got=f"more than {_MAX_STORE_PATHS} names in {STORE_DIR}", expected="fewer")
        return {path: size for base, size in sizes.items() if (path := _try_parse_store_path(base))}


@dataclass(frozen=True, slots=True)
class _BlobContent:
    """A layer's blob: its digest and size as stored, the same after decompression, and the uncompressed tar."""

    blob: BlobInfo
    uncompressed: BlobInfo
    tar: Extent


class _ExtentStream:
    """An extent as a stream of bytes; ``file`` is the file that the extent is a part of.

    ``on_bytes`` is called with the size of each portion that was read.
    """

    def __init__(self, blob: Extent, read: Read, on_bytes: OnBytes) -> None:
        self.file = blob.file
        self._read = read
        self._on_bytes = on_bytes
        self._offset = 0

    def readinto(self, buffer: Any, /) -> int:
        """Fill the beginning of ``buffer`` and return the number of bytes; 0 means the end."""
        data = self._read(self._offset, len(buffer))
        buffer[: len(data)] = data
        self._offset += len(data)
        self._on_bytes(len(data))
        return len(data)


def read_checked(blob: Extent, digest: Digest, name: str, start: int) -> Iterator[bytes]:
    """Yield a blob that was not read before, from ``start`` on.

    Raises `IntegrityError`, which names ``name``, at its end if it has another digest than ``digest``.
    """
    hasher, offset = hashlib.sha256(), 0
    for piece in iter_extent(blob):
        hasher.update(piece)
        if offset + len(piece) > start:
            yield piece[max(start - offset, 0) :]
        offset += len(piece)
    if hasher.digest() != digest.raw:
        raise IntegrityError(name, Digest(hasher.digest()), "the digest in its name")


def find_stated_digest(name: str) -> Digest | None:
    """Return the digest that the name of a layer's blob states; None if it states none."""
    match = _NAMED_BLOB.fullmatch(name)
    return Digest(bytes.fromhex(match[1])) if match else None


def _find_damage(name: str, blob: Extent) -> IntegrityError | None:
    """Return the error if a blob that cannot be read has not the digest in its name; None if it has, or states none.

    The digest says that the file is damaged; the decoder would only say where it stumbled.
    """
    stated = find_stated_digest(name)
    digest = hash_pieces([blob]).digest if stated else None
    return _make_digest_error(digest) if digest and digest != stated else None


def _make_digest_error(digest: Digest) -> IntegrityError:
    return IntegrityError(got=digest, expected="the digest in its name")


def check_member_names(header: TarHeader) -> None:
    """Raise `FormatError` if the name of a layer's member, or the file that it is a link to, has '..'."""
    for name in (header.name, header.target if header.kind is EntryKind.LINK else b""):
        if b".." in name and b".." in name.split(b"/"):
            member = short_repr(name.decode("utf-8", "backslashreplace"))
            raise FormatError(got=f"a member {member}", expected="names without '..', which could lead out of the root")


def _try_parse_store_path(base: bytes) -> StorePath | None:
    try:
        return StorePath.parse_base(base.decode("utf-8", "surrogateescape"))
    except InvalidArgument:
        return None
