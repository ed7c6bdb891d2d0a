"""Content addresses: the CA field, the store path it makes, and whether a content is what it says.

Invariant: ``parse(str(x)) == x``; `Address.names` and a fed `Evidence` both say yes exactly where Nix believes a path
without a signature.

A path whose content has its own hash in it is addressed by its NAR with zero bytes in place of that hash, and the
places where it stood (`ModuloHash`); so the path can be computed before the hash that it holds is known. (Nix source,
libstore: content-address, store-api, references; Nix manual, Store Path Specification.)
"""

from __future__ import annotations

import hashlib
import re
from array import array
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from lamina.core.names import HASH_LENGTH, STORE_DIR, Digest, StorePath, nix32_dump, nix32_parse
from lamina.core.pathinfo import PathInfo
from lamina.errors import FormatError, InvalidName, shown
from lamina.formats import nar
from lamina.formats.narinfo import NarInfo

TEXT, FLAT, NAR = "text", "fixed", "fixed:r"
_SIZES = {"md5": 16, "sha1": 20, "sha256": 32, "sha512": 64}
_ADDRESS = re.compile(f"({TEXT}|{NAR}|{FLAT}):({'|'.join(_SIZES)}):([0-9a-z]+)")
_PATH_HASH = 20
# No path holds its own hash as often; each place is kept until the end.
MAX_PLACES = 1 << 22
_ZEROS = bytes(HASH_LENGTH)


@dataclass(frozen=True, slots=True)
class Address:
    """What a content is called by: how it is hashed (``text``, ``fixed``, ``fixed:r``), with what, and the hash."""

    method: str
    algorithm: str
    raw: bytes

    @classmethod
    def parse(cls, text: str) -> Address:
        """``METHOD:ALGORITHM:HASH``, the hash in Nix's base 32 or in hex; raises `InvalidName`."""
        found = _ADDRESS.fullmatch(text)
        if not found or (found[1] == TEXT and found[2] != "sha256"):
            raise InvalidName(
                f"content address: got {shown(text)}, expected text:sha256:HASH, fixed:ALGORITHM:HASH"
                " or fixed:r:ALGORITHM:HASH"
            )
        method, algorithm, digits = found.groups()
        size = _SIZES[algorithm]
        if len(digits) == 2 * size and re.fullmatch("[0-9a-f]*", digits):
            return cls(method, algorithm, bytes.fromhex(digits))
        return cls(method, algorithm, nix32_parse(digits, size))

    @classmethod
    def nar(cls, digest: Digest) -> Address:
        """``fixed:r:sha256:…``: what has a NAR of that hash, or of that hash modulo its own."""
        return cls(NAR, "sha256", digest.raw)

    def __str__(self) -> str:
        return f"{self.method}:{self.algorithm}:{nix32_dump(self.raw)}"

    def path(self, name: str, references: Collection[StorePath], itself: bool) -> StorePath:
        """The store path that Nix computes; ``references`` are those to others, ``itself`` says there is its own too.

        Raises `InvalidName` for a name, and `FormatError` where such an address can have no such references.
        """
        if self.method == TEXT and not itself:
            return _path(_kind("text", references, itself), self._inner, name)
        if self.method == NAR and self.algorithm == "sha256":
            return _path(_kind("source", references, itself), self._inner, name)
        if references or itself:
            raise FormatError(f"content address {self}: got references, expected none with it")
        prefix = "r:" if self.method == NAR else ""
        inner = hashlib.sha256(f"fixed:out:{prefix}{self._inner}:".encode()).hexdigest()
        return _path("output:out", f"sha256:{inner}", name)

    def names(self, info: PathInfo) -> bool:
        """Whether ``info.path`` is the path of this address, under its name and with its references."""
        itself = info.path in info.references
        try:
            return self.path(info.path.name, info.references - {info.path}, itself) == info.path
        except FormatError:
            return False

    def hashes_nar(self, info: PathInfo) -> bool:
        """Whether this says just what ``info.nar_hash`` says: who has checked that has checked the content."""
        plain = (self.method, self.algorithm) == (NAR, "sha256") and info.path not in info.references
        return plain and self.raw == info.nar_hash.raw

    @property
    def _inner(self) -> str:
        return f"{self.algorithm}:{self.raw.hex()}"


def claims(found: NarInfo) -> bool:
    """Whether a narinfo has an address, and the path is the one that it makes. The content is not looked at."""
    try:
        return Address.parse(found.address).names(found.info)
    except InvalidName:
        return False


def _kind(word: str, references: Collection[StorePath], itself: bool) -> str:
    return ":".join((word, *map(str, sorted(references)), *(["self"] if itself else ())))


def _path(kind: str, inner: str, name: str) -> StorePath:
    """Nix's makeStorePath: a SHA-256 folded to 20 bytes."""
    folded = bytearray(_PATH_HASH)
    for place, byte in enumerate(hashlib.sha256(f"{kind}:{inner}:{STORE_DIR}:{name}".encode()).digest()):
        folded[place % _PATH_HASH] ^= byte
    return StorePath.parse_base(f"{nix32_dump(bytes(folded))}-{name}")


class Rewriter:
    """Puts one text for another of the same length into bytes that come in any portions.

    ``places`` are where the old one stood, in order; of those that overlap, the first counts.
    """

    def __init__(self, old: bytes, new: bytes) -> None:
        if not old or len(old) != len(new):
            raise InvalidName(f"rewriting {shown(old)}: got {shown(new)}, expected as many bytes")
        self._old = old
        self._new = new
        self._tail = b""
        self._start = 0  # of the tail
        self.places: array[int] = array("Q")

    def feed(self, data: bytes | memoryview) -> bytes:
        """The next bytes that are settled, maybe none. Raises `FormatError` above `MAX_PLACES`."""
        text = b"".join((self._tail, data))
        end = 0
        for place in self._find(text):
            self.places.append(self._start + place)
            end = place + len(self._old)
            if len(self.places) > MAX_PLACES:
                raise FormatError(
                    f"content: got {shown(self._old)} more than {MAX_PLACES} times, expected it fewer times"
                )
        settled = max(end, len(text) - len(self._old) + 1, 0)
        self._tail = text[settled:]
        self._start += settled
        return text[:settled].replace(self._old, self._new)

    def close(self) -> bytes:
        """The rest."""
        rest, self._tail = self._tail, b""
        self._start += len(rest)
        return rest

    def _find(self, text: bytes) -> Iterator[int]:
        place = text.find(self._old)
        while place >= 0:
            yield place
            place = text.find(self._old, place + len(self._old))


class ModuloHash:
    """The hash of bytes modulo a text in them, the 32 digits of a path: Nix's HashModuloSink."""

    def __init__(self, digits: str, algorithm: str = "sha256") -> None:
        self._rewriter = Rewriter(digits.encode(), bytes(len(digits)))
        self._hash = hashlib.new(algorithm, usedforsecurity=False)

    def feed(self, data: bytes | memoryview) -> None:
        """Takes the next bytes."""
        self._hash.update(self._rewriter.feed(data))

    def digest(self) -> bytes:
        """The hash, once, when all bytes are in."""
        return self.digests()[0]

    def digests(self) -> tuple[bytes, bytes]:
        """The hash, and what Nix 2.17 to 2.34 took for it: they left the places out by mistake (NixOS/nix #15837)."""
        self._hash.update(self._rewriter.close())
        without = self._hash.digest()
        for place in self._rewriter.places:
            self._hash.update(b"|%d" % place)
        return self._hash.digest(), without


class Evidence:
    """Whether the content of ``info.path`` is what ``address`` says; fed with its NAR in any portions."""

    def __init__(self, address: Address, info: PathInfo) -> None:
        self._expected = address.raw
        self._content: ModuloHash | _Plain | _File
        if address.method != NAR:
            self._content = _File(address.algorithm)
        elif info.path in info.references:
            self._content = ModuloHash(info.path.hash, address.algorithm)
        else:
            self._content = _Plain(address.algorithm)

    def feed(self, data: bytes | memoryview) -> None:
        """Takes the next bytes of the NAR."""
        self._content.feed(data)

    def holds(self) -> bool:
        """Whether it is true, once, when all bytes are in."""
        if isinstance(self._content, ModuloHash):
            return self._expected in self._content.digests()
        return self._content.digest() == self._expected


class _Plain:
    def __init__(self, algorithm: str) -> None:
        self._hash = hashlib.new(algorithm, usedforsecurity=False)
        self.feed = self._hash.update
        self.digest = self._hash.digest


_HEAD = nar.tokens(nar.MAGIC, b"(", b"type", b"regular", b"contents")
_END = nar.tokens(b")")


class _File:
    """The hash of the file that a NAR is, one that nobody may execute; of another NAR there is none."""

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
        # One byte more than belongs there is enough to know.
        self._tail = (self._tail + bytes(rest[: len(_END) + 8]))[: len(_END) + 8]

    def digest(self) -> bytes | None:
        is_whole = self._left == 0 and self._tail == bytes(-self._size % 8) + _END
        return self._hash.digest() if self._head.startswith(_HEAD) and is_whole else None
