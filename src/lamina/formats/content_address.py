"""Content addresses: the CA field, the store path that follows from it, and the check of contents against it.

Nix trusts a path without a signature if both `ContentAddress.matches` and a completed `ContentAddressCheck` return
true.

The content of a store path may contain the path's own hash, which is unknown while the path is computed. The address is
therefore computed from the NAR with that hash replaced by zero bytes, and from the offsets of the hash (`ModuloHash`).
(Nix source, libstore: content-address, store-api, references; Nix manual, "Store Path Specification".)

Invariant: ``parse(str(x)) == x``.
"""

from __future__ import annotations

import hashlib
import re
from array import array
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from lamina.core.names import HASH_LENGTH, STORE_DIR, Digest, StorePath, dump_nix32, parse_nix32
from lamina.core.pathinfo import PathInfo
from lamina.errors import FormatError, InvalidArgument
from lamina.formats import nar
from lamina.formats.narinfo import NarInfo
from lamina.messages.redaction import short_repr

TEXT, FLAT, NAR = "text", "fixed", "fixed:r"
_SIZES = {"md5": 16, "sha1": 20, "sha256": 32, "sha512": 64}
_ADDRESS = re.compile(f"({TEXT}|{NAR}|{FLAT}):({'|'.join(_SIZES)}):([0-9a-z]+)")
_PATH_HASH_SIZE = 20
# The maximum number of replaced hashes. All offsets are kept in memory until the end, and no real path has that many.
MAX_OFFSETS = 1 << 22
_ZEROS = bytes(HASH_LENGTH)


@dataclass(frozen=True, slots=True)
class ContentAddress:
    """The address of a content: the method (``text``, ``fixed`` or ``fixed:r``), the hash algorithm and the hash."""

    method: str
    algorithm: str
    raw: bytes

    @classmethod
    def parse(cls, text: str) -> ContentAddress:
        """Parse ``METHOD:ALGORITHM:HASH``, with a hash in Nix's base 32 or in hex. Raises `InvalidArgument`."""
        found = _ADDRESS.fullmatch(text)
        if not found or (found[1] == TEXT and found[2] != "sha256"):
            raise InvalidArgument(
                "content address", short_repr(text), "text:sha256:HASH, fixed:ALGORITHM:HASH or fixed:r:ALGORITHM:HASH"
            )
        method, algorithm, digits = found.groups()
        size = _SIZES[algorithm]
        if len(digits) == 2 * size and re.fullmatch("[0-9a-f]*", digits):
            return cls(method, algorithm, bytes.fromhex(digits))
        return cls(method, algorithm, parse_nix32(digits, size))

    @classmethod
    def nar(cls, digest: Digest) -> ContentAddress:
        """Return ``fixed:r:sha256:…`` for a NAR with this hash, or with this hash modulo its own store hash."""
        return cls(NAR, "sha256", digest.raw)

    def __str__(self) -> str:
        return f"{self.method}:{self.algorithm}:{dump_nix32(self.raw)}"

    def make_path(self, name: str, references: Collection[StorePath], self_reference: bool) -> StorePath:
        """Compute the store path of this address, as Nix does.

        Args:
            name: the name of the store path, without a hash.
            references: the other store paths that the content refers to.
            self_reference: whether the content refers to its own store path.

        Raises:
            InvalidArgument: ``name`` is not a valid name.
            FormatError: this kind of address cannot have these references.

        """
        if self.method == TEXT and not self_reference:
            return _make_store_path(_fingerprint_type("text", references, self_reference), self._inner_digest, name)
        if self.method == NAR and self.algorithm == "sha256":
            return _make_store_path(_fingerprint_type("source", references, self_reference), self._inner_digest, name)
        if references or self_reference:
            raise FormatError(f"content address {self}", "references", "a path without references")
        prefix = "r:" if self.method == NAR else ""
        inner = hashlib.sha256(f"fixed:out:{prefix}{self._inner_digest}:".encode()).hexdigest()
        return _make_store_path("output:out", f"sha256:{inner}", name)

    def matches(self, info: PathInfo) -> bool:
        """Return whether ``info.path`` is the path that follows from this address, its name and its references."""
        self_reference = info.path in info.references
        try:
            return self.make_path(info.path.name, info.references - {info.path}, self_reference) == info.path
        except FormatError:
            return False

    def equals_nar_hash(self, info: PathInfo) -> bool:
        """Return whether this address equals ``info.nar_hash``, so that a check of the NAR hash checks the content."""
        plain = (self.method, self.algorithm) == (NAR, "sha256") and info.path not in info.references
        return plain and self.raw == info.nar_hash.raw

    @property
    def _inner_digest(self) -> str:
        return f"{self.algorithm}:{self.raw.hex()}"


def has_matching_address(narinfo: NarInfo) -> bool:
    """Return whether the store path of a narinfo follows from its content address. The content is not checked."""
    try:
        return ContentAddress.parse(narinfo.address).matches(narinfo.info)
    except InvalidArgument:
        return False


def _fingerprint_type(word: str, references: Collection[StorePath], self_reference: bool) -> str:
    return ":".join((word, *map(str, sorted(references)), *(["self"] if self_reference else ())))


def _make_store_path(kind: str, inner: str, name: str) -> StorePath:
    """Compute a store path as Nix's makeStorePath does, from a SHA-256 folded to 20 bytes."""
    folded = bytearray(_PATH_HASH_SIZE)
    for offset, byte in enumerate(hashlib.sha256(f"{kind}:{inner}:{STORE_DIR}:{name}".encode()).digest()):
        folded[offset % _PATH_HASH_SIZE] ^= byte
    return StorePath.parse_base(f"{dump_nix32(bytes(folded))}-{name}")


class Rewriter:
    """A filter that replaces one byte string by another of the same length in a stream.

    ``offsets`` are the offsets of the replaced bytes, ascending. If occurrences overlap, only the first is replaced.
    """

    def __init__(self, old: bytes, new: bytes) -> None:
        if not old or len(old) != len(new):
            raise InvalidArgument(f"rewriting {short_repr(old)}", short_repr(new), f"{len(old)} bytes")
        self._old = old
        self._new = new
        self._tail = b""
        self._start = 0  # of the tail
        self.offsets: array[int] = array("Q")

    def feed(self, data: bytes | memoryview) -> bytes:
        """Take the next bytes and return all bytes that cannot change any more.

        Raises `FormatError` if more than `MAX_OFFSETS` occurrences were replaced.
        """
        text = b"".join((self._tail, data))
        end = 0
        for offset in self._find(text):
            self.offsets.append(self._start + offset)
            end = offset + len(self._old)
            if len(self.offsets) > MAX_OFFSETS:
                raise FormatError("content", f"{short_repr(self._old)} more than {MAX_OFFSETS} times", "fewer times")
        complete = max(end, len(text) - len(self._old) + 1, 0)
        self._tail = text[complete:]
        self._start += complete
        return text[:complete].replace(self._old, self._new)

    def close(self) -> bytes:
        """Return the remaining bytes."""
        rest, self._tail = self._tail, b""
        self._start += len(rest)
        return rest

    def _find(self, text: bytes) -> Iterator[int]:
        offset = text.find(self._old)
        while offset >= 0:
            yield offset
            offset = text.find(self._old, offset + len(self._old))


class ModuloHash:
    """The hash of bytes in which the 32 digits of a store hash are replaced by zeros, as in Nix's HashModuloSink."""

    def __init__(self, digits: str, algorithm: str = "sha256") -> None:
        self._rewriter = Rewriter(digits.encode(), bytes(len(digits)))
        self._hash = hashlib.new(algorithm, usedforsecurity=False)

    def feed(self, data: bytes | memoryview) -> None:
        """Add the next bytes."""
        self._hash.update(self._rewriter.feed(data))

    def digest(self) -> bytes:
        """Return the hash, after all bytes were fed. It can be called only once."""
        return self.digests()[0]

    def digests(self) -> tuple[bytes, bytes]:
        """Return the hash, and the one that Nix 2.17 to 2.34 computed without offsets by mistake (NixOS/nix #15837)."""
        self._hash.update(self._rewriter.close())
        without_offsets = self._hash.digest()
        for offset in self._rewriter.offsets:
            self._hash.update(b"|%d" % offset)
        return self._hash.digest(), without_offsets


class ContentAddressCheck:
    """A check of the content of ``info.path`` against ``address``. The caller feeds it the NAR of the path."""

    def __init__(self, address: ContentAddress, info: PathInfo) -> None:
        self._expected = address.raw
        self._content: ModuloHash | _NarHasher | _FlatHasher
        if address.method != NAR:
            self._content = _FlatHasher(address.algorithm)
        elif info.path in info.references:
            self._content = ModuloHash(info.path.hash, address.algorithm)
        else:
            self._content = _NarHasher(address.algorithm)

    def feed(self, data: bytes | memoryview) -> None:
        """Add the next bytes of the NAR."""
        self._content.feed(data)

    def matches(self) -> bool:
        """Return whether the content matches, after all bytes were fed. It can be called only once."""
        if isinstance(self._content, ModuloHash):
            return self._expected in self._content.digests()
        return self._content.digest() == self._expected


class _NarHasher:
    """The hash of a whole NAR."""

    def __init__(self, algorithm: str) -> None:
        self._hash = hashlib.new(algorithm, usedforsecurity=False)
        self.feed = self._hash.update
        self.digest = self._hash.digest


_HEAD = nar.dump_strings(nar.MAGIC, b"(", b"type", b"regular", b"contents")
_TAIL = nar.dump_strings(b")")


class _FlatHasher:
    """The hash of the content of a NAR that consists of one non-executable file; None for other NARs."""

    def __init__(self, algorithm: str) -> None:
        self._hash = hashlib.new(algorithm, usedforsecurity=False)
        self._head = b""
        self._size = 0
        self._left = 0
        self._tail = b""

    def feed(self, data: bytes | memoryview) -> None:
        missing = len(_HEAD) + 8 - len(self._head)
        if missing:
            self._head += bytes(data[:missing])
            self._size = self._left = int.from_bytes(self._head[len(_HEAD) :], "little")
            data = data[missing:]
        self._hash.update(data[: self._left])
        rest = data[self._left :]
        self._left -= len(data) - len(rest)
        # Keep a few bytes more than the expected end of the archive, which is enough to detect a different end.
        self._tail = (self._tail + bytes(rest[: len(_TAIL) + 8]))[: len(_TAIL) + 8]

    def digest(self) -> bytes | None:
        is_whole = self._left == 0 and self._tail == bytes(-self._size % 8) + _TAIL
        return self._hash.digest() if self._head.startswith(_HEAD) and is_whole else None
