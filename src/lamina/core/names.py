"""The names that come from outside: digests, store paths, image references, moments.

Invariant: ``parse`` is the only door in, ``str`` the way back, and ``parse(str(x)) == x``.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from datetime import UTC, datetime

from lamina.errors import InvalidArgument
from lamina.messages.redaction import short_repr

# Nix's own alphabet: digits and lower-case letters without e, o, u, t (nix: libutil, base-nix-32).
NIX32 = "0123456789abcdfghijklmnpqrsvwxyz"
_NIX32_VALUE = {character: value for value, character in enumerate(NIX32)}

STORE_DIR = "/nix/store"
HASH_LENGTH = 32
# Nix refuses longer names since 2.0 (libstore, store path names).
_STORE_NAME = re.compile(r"[0-9a-zA-Z+\-._?=]{1,211}")
_STORE_HASH = re.compile(f"[{NIX32}]{{{HASH_LENGTH}}}")

# The grammar of distribution/reference: domain, path components, tag.
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_DOMAIN = r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*|\[[0-9a-f:]+\])(?::[0-9]+)?"
_REPOSITORY = re.compile(rf"(?:{_DOMAIN}/)?{_COMPONENT}(?:/{_COMPONENT})*")
_SIZE = re.compile("([0-9]{1,18}(?:\\.[0-9]{1,6})?) ?([kmgt]?)(i?b|)", re.IGNORECASE)
_MAX_BYTES = 1 << 60
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


def dump_nix32(raw: bytes) -> str:
    """Nix's base 32 of ``raw``: least significant digit last, so the text runs from the end of the bytes."""
    length = (len(raw) * 8 + 4) // 5
    number = int.from_bytes(raw, "little")
    return "".join(NIX32[number >> 5 * place & 31] for place in reversed(range(length)))


def parse_nix32(text: str, size: int) -> bytes:
    """The ``size`` bytes that ``text`` spells; raises `InvalidArgument`."""
    if len(text) != (size * 8 + 4) // 5:
        raise InvalidArgument(
            f"nix32 {short_repr(text)}: got {len(text)} digits, expected the spelling of {size} bytes"
        )
    number = 0
    for character in text:
        if character not in _NIX32_VALUE:
            raise InvalidArgument(f"nix32 {short_repr(text)}: got {short_repr(character)}, expected one of {NIX32}")
        number = number << 5 | _NIX32_VALUE[character]
    if number >> size * 8:
        raise InvalidArgument(
            f"nix32 {short_repr(text)}: got more than {size * 8} bits, expected the spelling of {size} bytes"
        )
    return number.to_bytes(size, "little")


@dataclass(frozen=True, slots=True)
class Digest:
    """A SHA-256 digest; ``str`` is OCI's spelling, ``sha256:`` and 64 hex digits."""

    raw: bytes

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Any of the spellings in use: ``sha256:HEX``, ``sha256:NIX32``, ``sha256-BASE64`` (SRI).

        Raises `InvalidArgument`, also for other algorithms.
        """
        algorithm, separator, rest = text[:6], text[6:7], text[7:]
        if algorithm != "sha256" or separator not in (":", "-"):
            raise InvalidArgument(f"digest: got {short_repr(text)}, expected sha256:HEX, sha256:NIX32 or sha256-BASE64")
        if separator == "-":
            return cls(_base64_parse(text, rest))
        if len(rest) == 64:
            return cls.from_hex(rest)
        return cls(parse_nix32(rest, 32))

    @classmethod
    def from_hex(cls, text: str) -> Digest:
        """The digest that 64 lower-case hex digits spell; raises `InvalidArgument`."""
        if not re.fullmatch("[0-9a-f]{64}", text):
            raise InvalidArgument(f"digest: got {short_repr(text)}, expected 64 lower-case hex digits")
        return cls(bytes.fromhex(text))

    @property
    def hex(self) -> str:
        """64 hex digits."""
        return self.raw.hex()

    @property
    def nix32(self) -> str:
        """Nix's spelling, ``sha256:`` and 52 digits, as in a narinfo."""
        return "sha256:" + dump_nix32(self.raw)

    @property
    def sri(self) -> str:
        """The W3C's spelling, ``sha256-BASE64``, as newer Nix prints."""
        return "sha256-" + base64.b64encode(self.raw).decode()

    def __str__(self) -> str:
        return "sha256:" + self.raw.hex()


def _base64_parse(text: str, rest: str) -> bytes:
    try:
        raw = base64.b64decode(rest, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidArgument(f"digest: got {short_repr(text)}, expected base 64 after 'sha256-'") from error
    if len(raw) != 32 or base64.b64encode(raw).decode() != rest:
        raise InvalidArgument(f"digest: got {short_repr(text)}, expected the base 64 of 32 bytes")
    return raw


@dataclass(frozen=True, slots=True, order=True)
class StorePath:
    """A path right below ``/nix/store``: HASH-NAME. Sorts as its text does."""

    base: str

    @classmethod
    def parse(cls, text: str) -> StorePath:
        """The store path ``text`` is; raises `InvalidArgument` for anything inside or outside one."""
        folder, _, base = text.rpartition("/")
        if folder != STORE_DIR:
            raise InvalidArgument(f"store path: got {short_repr(text)}, expected {STORE_DIR}/HASH-NAME")
        return cls.parse_base(base)

    @classmethod
    def parse_base(cls, base: str) -> StorePath:
        """The store path whose last component is ``base``; raises `InvalidArgument`."""
        digits, dash, name = base[:HASH_LENGTH], base[HASH_LENGTH : HASH_LENGTH + 1], base[HASH_LENGTH + 1 :]
        if not _STORE_HASH.fullmatch(digits) or dash != "-" or not _STORE_NAME.fullmatch(name):
            raise InvalidArgument(
                f"store path: got {short_repr(base)}, expected HASH-NAME with a hash of 32 nix32 digits"
            )
        return cls(base)

    @classmethod
    def split(cls, text: str) -> tuple[StorePath, str]:
        """The store path that ``text`` is or lies in, and the rest below it without slashes at its ends.

        Raises `InvalidArgument` for a text outside the store and for ``.`` or ``..`` inside it.
        """
        prefix = STORE_DIR + "/"
        if not text.startswith(prefix):
            raise InvalidArgument(f"store path: got {short_repr(text)}, expected it below {STORE_DIR}")
        base, *inside = text[len(prefix) :].split("/")
        parts = [part for part in inside if part]
        if "." in parts or ".." in parts:
            raise InvalidArgument(f"store path: got {short_repr(text)}, expected no '.' or '..' in it")
        return cls.parse_base(base), "/".join(parts)

    @property
    def hash(self) -> str:
        """The 32 digits in front."""
        return self.base[:HASH_LENGTH]

    @property
    def name(self) -> str:
        """All behind the hash: package name, version, output."""
        return self.base[HASH_LENGTH + 1 :]

    @property
    def package(self) -> str:
        """The name without its version."""
        return strip_version(self.name)

    def __str__(self) -> str:
        return f"{STORE_DIR}/{self.base}"


def strip_version(name: str) -> str:
    """``name`` without its version: all before the first dash that something else than a letter follows.

    Nix manual, builtins.parseDrvName.
    """
    found = re.search("-[^a-zA-Z]", name)
    return name[: found.start()] if found else name


@dataclass(frozen=True, slots=True)
class ImageReference:
    """A repository and a tag, as ``docker load`` will show them."""

    repository: str
    tag: str

    @classmethod
    def parse(cls, text: str) -> ImageReference:
        """``NAME:TAG``; raises `InvalidArgument` where either is missing or cannot be."""
        repository, colon, tag = text.rpartition(":")
        if not colon or "/" in tag:
            raise InvalidArgument(f"image name: got {short_repr(text)}, expected NAME:TAG")
        return cls(parse_repository(repository), parse_tag(tag))

    def __str__(self) -> str:
        return f"{self.repository}:{self.tag}"


def parse_repository(text: str) -> str:
    """An image's name, lower-cased as dockerTools does; raises `InvalidArgument`."""
    lowered = text.lower()
    # Some letters outside ASCII have lower cases in it.
    if not text.isascii() or not _REPOSITORY.fullmatch(lowered) or len(lowered) > 255:
        raise InvalidArgument(
            f"image name: got {short_repr(text)}, "
            "expected [HOST[:PORT]/]PATH of letters, digits and single . _ - between "
            "them",
            hint="give one with --name",
        )
    return lowered


def parse_tag(text: str) -> str:
    """A tag as it stands; raises `InvalidArgument`."""
    if not _TAG.fullmatch(text):
        raise InvalidArgument(
            f"tag: got {short_repr(text)}, expected up to 128 letters, digits, '_', '.', '-', the first no '.' or '-'"
        )
    return text


def parse_datetime(text: str) -> datetime:
    """An ISO-8601 date or time as UTC in whole seconds, read as UTC where it names no zone.

    Raises `InvalidArgument`.
    """
    try:
        moment = datetime.fromisoformat(text.strip())
        moment = moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidArgument(
            f"date: got {short_repr(text)}, expected ISO-8601 such as 2026-01-31T12:00:00Z, or 'now'"
        ) from error
    return moment.replace(microsecond=0)


def parse_size(name: str, value: object) -> int:
    """Return the number of bytes that ``value`` says: a number, or a text such as 500M, 4GiB or 1.5TB.

    K, M, G and T count in 1024, with iB behind them or not; KB, MB, GB and TB count in 1000. Raises `InvalidArgument`,
    which begins with ``name``.
    """
    found = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_BYTES:
        return value
    if found:
        base = 1000 if found[3].lower() == "b" and found[2] else 1024
        size = int(float(found[1]) * base ** "_kmgt".index(found[2].lower() or "_"))
        if size <= _MAX_BYTES:
            return size
    raise InvalidArgument(
        f"{name}: got {short_repr(value)}, expected a number of bytes, or a size such as 500M or 4GiB"
    )


@dataclass(frozen=True, slots=True)
class StoreSubpath:
    """Something named for the root: a store path, or a folder inside one."""

    path: StorePath
    inside: str

    @classmethod
    def parse(cls, text: str) -> StoreSubpath:
        """``/nix/store/HASH-NAME[/INSIDE]``; raises `InvalidArgument`."""
        return cls(*StorePath.split(text))

    def __str__(self) -> str:
        return f"{self.path}/{self.inside}" if self.inside else str(self.path)
