"""The documents and layers of an image file, each read once and checked.

Invariant: nothing large is held, and no blob leaves here whose digest was not computed. What an image may hold is
bounded by numbers that no honest image reaches, so that a small file cannot take much memory or time.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from itertools import count
from typing import Any

from lamina.compression.streams import MAGIC_SIZE, detect_image_compression
from lamina.core.names import STORE_DIR, Digest, StorePath
from lamina.core.nodes import Extent
from lamina.errors import FormatError, IntegrityError, InvalidArgument
from lamina.formats.json_toml import parse_json
from lamina.formats.platform import Platform
from lamina.formats.tar_reader import EntryKind, Read, read_headers
from lamina.images.readers.members import Members
from lamina.images.readers.source_image import NO_PLATFORM, SourceImage, SourceLayer
from lamina.images.readers.unpack import Unpacker
from lamina.messages.redaction import short_repr
from lamina.system.extents import open_reader, read_head
from lamina.system.transfer import BlobInfo, hash_pieces

# The longest document that containerd reads.
_LONGEST_DOCUMENT = 20 << 20
_MAX_DOCUMENT_BYTES = 64 << 20
_MAX_VALUES = 1_000_000
# Engines run images of 127 to 250 layers.
_MAX_LAYERS = 1000
_MAX_LAYERS_TOTAL = 20_000
# Some ten seconds to look at; an image of a whole distribution has some hundred thousand.
_MAX_MEMBERS = 2_000_000
# The closure of a whole system has some thousand.
_MAX_STORE_PATHS = 200_000
_STORE_MEMBER = re.compile(rb"/*(?:\./+)*%s/+([^/]+)" % STORE_DIR[1:].encode())
_NAMED_BLOB = re.compile(r"(?:.*/)?blobs/sha256/([0-9a-f]{64})")
_NAMED_CONFIG = re.compile(r"(?:.*/)?([0-9a-f]{64})(?:\.json)?")


@dataclass(frozen=True, slots=True)
class JsonDocument:
    """A JSON object or list, and the bytes it was read from."""

    text: bytes
    value: Any

    @property
    def digest(self) -> Digest:
        """Of the bytes."""
        return Digest(hashlib.sha256(self.text).digest())


class Blobs:
    """What `Members` hold, checked; what is compressed is unpacked by ``unpacker``."""

    def __init__(self, members: Members, unpacker: Unpacker) -> None:
        self._members = members
        self._unpacker = unpacker
        self._contents: dict[Extent, _BlobContent] = {}
        self._paths: dict[Extent, tuple[StorePath, ...]] = {}
        self._documents = 0
        self._values = 0
        self._layers = 0
        self._member_count = 0

    def has(self, name: str) -> bool:
        """Whether there is such a member."""
        return self._members.find(name) is not None

    def find(self, name: str) -> Extent:
        """The member; raises `FormatError` where there is none."""
        found = self._members.find(name)
        if found is None:
            raise FormatError(f"got no {name}, expected an image file: a docker-archive or an OCI layout")
        return found

    def document(self, name: str) -> JsonDocument:
        """Return the JSON of a member. Raises `FormatError`, also for one that is too long or holds too much."""
        extent = self.find(name)
        self._documents += extent.length
        if extent.length > _LONGEST_DOCUMENT or self._documents > _MAX_DOCUMENT_BYTES:
            raise FormatError(
                f"{name}: got {extent.length} bytes, expected a document of at most {_LONGEST_DOCUMENT}, "
                f"and {_MAX_DOCUMENT_BYTES} in all"
            )
        text = read_head(extent, extent.length)
        # Each value takes some 70 bytes, though it may be written in two.
        self._values += sum(map(text.count, (b",", b"[", b"{")))
        if self._values > _MAX_VALUES:
            raise FormatError(f"{name}: got {self._values} values, expected at most {_MAX_VALUES} in all documents")
        return JsonDocument(text, parse_json(text, name, "JSON, as in an image file"))

    def image(
        self,
        config_name: str,
        layer_names: list[str],
        *,
        repo_tags: tuple[str, ...] = (),
        index_platform: Platform = NO_PLATFORM,
    ) -> SourceImage:
        """Return the image of that config and those layers; ``index_platform`` is the platform that its index says.

        Raises `FormatError`, and `IntegrityError` where the config, its name, and the layers contradict one another.
        """
        self._layers += len(layer_names)
        if len(layer_names) > _MAX_LAYERS or self._layers > _MAX_LAYERS_TOTAL:
            raise FormatError(
                f"{config_name}: got {len(layer_names)} layers, expected at most {_MAX_LAYERS}, and "
                f"{_MAX_LAYERS_TOTAL} in all images"
            )
        config = self.document(config_name)
        named = _NAMED_CONFIG.fullmatch(config_name)
        if named and named[1] != config.digest.hex:
            raise IntegrityError(f"config: got {config.digest}, expected sha256:{named[1]}")
        rootfs = item(config.value, config_name, "rootfs")
        blobs = [self.find(name) for name in layer_names]
        # docker leaves out an empty list of diff_ids, but never the type (OCI image spec, config.md, "rootfs").
        if not isinstance(rootfs, dict) or (rootfs.get("diff_ids") is None and rootfs.get("type") != "layers"):
            raise FormatError(f"{config_name}: rootfs: got {short_repr(rootfs)}, expected an object with diff_ids")
        diff_ids = [digest(text) for text in texts(f"{config_name}: diff_ids", rootfs.get("diff_ids"))]
        if len(diff_ids) != len(blobs):
            raise IntegrityError(f"rootfs: got {len(diff_ids)} diff IDs, expected {len(blobs)}, one for each layer")
        layers = tuple(map(self._layer, count(1), layer_names, blobs, diff_ids))
        return SourceImage(config.digest, repo_tags, config.text, config.value, layers, index_platform=index_platform)

    def _layer(self, number: int, name: str, blob: Extent, diff_id: Digest) -> SourceLayer:
        try:
            content = self._contents[blob] = self._contents.get(blob) or self._content(blob)
            named = _NAMED_BLOB.fullmatch(name)
            if named and named[1] != content.blob.digest.hex:
                raise IntegrityError(f"got {content.blob.digest}, expected the digest in its name")
            if content.plain.digest != diff_id:
                raise IntegrityError(f"layer {number}: got {content.plain.digest}, expected {diff_id}")
            if blob not in self._paths:
                self._paths[blob] = self._store_paths(content.tar)
            paths = self._paths[blob]
        except (FormatError, IntegrityError) as error:
            raise type(error)(f"{name}: {error}", hint=error.hint) from error
        return SourceLayer(
            name, diff_id, content.blob.digest, content.blob.size, blob, content.tar, paths, self._unpacker.keep_alive
        )

    def _content(self, blob: Extent) -> _BlobContent:
        if detect_image_compression(read_head(blob, MAGIC_SIZE)) == "none":
            plain = hash_pieces([blob])
            return _BlobContent(plain, plain, blob)
        with open_reader(blob) as read:
            unpacked = self._unpacker.unpack(_ExtentStream(blob, read))
        return _BlobContent(unpacked.outer, unpacked.inner, unpacked.content)

    def _store_paths(self, tar: Extent) -> tuple[StorePath, ...]:
        """The store paths that a layer has members of, in its order.

        Raises `FormatError` for names that lead out, and for more members than any image has.
        """
        bases: dict[bytes, None] = {}
        with open_reader(tar) as read:
            for header in read_headers(read, tar.length):
                self._member_count += 1
                if self._member_count > _MAX_MEMBERS:
                    raise FormatError(f"got more than {_MAX_MEMBERS} members in all layers, expected fewer")
                _check_name(header.name)
                if header.kind is EntryKind.LINK:
                    _check_name(header.target)
                found = _STORE_MEMBER.match(header.name)
                if found and found[1] not in bases:
                    bases[found[1]] = None
                    if len(bases) > _MAX_STORE_PATHS:
                        raise FormatError(f"got more than {_MAX_STORE_PATHS} names in {STORE_DIR}, expected fewer")
        return tuple(path for path in map(_store_path, bases) if path)


@dataclass(frozen=True, slots=True)
class _BlobContent:
    """What a blob turned out to be: as it lies there, uncompressed, and where it lies uncompressed."""

    blob: BlobInfo
    plain: BlobInfo
    tar: Extent


class _ExtentStream:
    """An extent as a stream; ``file`` is where it lies."""

    def __init__(self, blob: Extent, read: Read) -> None:
        self.file = blob.file
        self._read = read
        self._offset = 0

    def readinto(self, buffer: Any, /) -> int:
        """Fill the beginning of ``buffer``, and return how much of it."""
        data = self._read(self._offset, len(buffer))
        buffer[: len(data)] = data
        self._offset += len(data)
        return len(data)


def _check_name(name: bytes) -> None:
    if b".." in name and b".." in name.split(b"/"):
        said = short_repr(name.decode("utf-8", "backslashreplace"))
        raise FormatError(f"got a member {said}, expected names without '..', which may lead out")


def _store_path(base: bytes) -> StorePath | None:
    try:
        return StorePath.parse_base(base.decode("utf-8", "surrogateescape"))
    except InvalidArgument:
        return None


def item(value: Any, subject: str, key: str) -> Any:
    """``value[key]`` of a JSON object; raises `FormatError`, which names ``subject``."""
    if not isinstance(value, dict) or key not in value:
        raise FormatError(f"{subject}: got {short_repr(value)}, expected an object with {key}, as in an image file")
    return value[key]


def items(subject: str, value: Any) -> list[Any]:
    """Return ``value`` if it is a list, an empty one for null, as Go writes it. Raises `FormatError`."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise FormatError(f"{subject}: got {short_repr(value)}, expected a list, as in an image file")
    return value


def texts(subject: str, value: Any) -> list[str]:
    """Return ``value`` if it is a list of texts, an empty one for null. Raises `FormatError`."""
    if not all(isinstance(text, str) for text in items(subject, value)):
        raise FormatError(f"{subject}: got {short_repr(value)}, expected a list of texts, as in an image file")
    return value or []


def digest(text: str) -> Digest:
    """The digest that ``text`` spells as OCI does; raises `FormatError`."""
    algorithm, _, rest = text.partition(":")
    try:
        if algorithm == "sha256":
            return Digest.from_hex(rest)
    except InvalidArgument:
        pass
    raise FormatError(f"digest: got {short_repr(text)}, expected sha256: and 64 hex digits")
