"""Values parsed from outside: digests, store paths, image references, sizes and times.

Each type has a ``parse`` that checks its input, and ``str`` returns the text.

Invariant: ``parse(str(x)) == x``.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from datetime import UTC, datetime

from lamina.errors import InvalidArgument
from lamina.messages.redaction import short_repr

# Nix's base-32 alphabet: digits and lower-case letters without e, o, u, t (Nix source, libutil, base-nix-32).
NIX32 = "0123456789abcdfghijklmnpqrsvwxyz"
_NIX32_VALUE = {character: value for value, character in enumerate(NIX32)}

STORE_DIR = "/nix/store"
HASH_LENGTH = 32
DERIVATION = ".drv"
# Nix has refused longer names since 2.0 (Nix source, libstore, store path names).
_STORE_NAME = re.compile(r"[0-9a-zA-Z+\-._?=]{1,211}")
_HEX_DIGEST = re.compile("[0-9a-f]{64}")
_STORE_HASH = re.compile(f"[{NIX32}]{{{HASH_LENGTH}}}")

# The grammar of distribution/reference: domain, path components, tag.
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_DOMAIN = r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*|\[[0-9a-f:]+\])(?::[0-9]+)?"
_PATH = rf"{_COMPONENT}(?:/{_COMPONENT})*"
_REPOSITORY, _REPOSITORY_PATH = re.compile(rf"(?:{_DOMAIN}/)?{_PATH}"), re.compile(_PATH)
_SIZE = re.compile("([0-9]{1,18}(?:\\.[0-9]{1,6})?) ?([kmgt]?)(i?b|)", re.IGNORECASE)
_MAX_BYTES = 1 << 60
_TIMESTAMP = re.compile("@(-?[0-9]{1,12})")
_MAX_REPOSITORY_LENGTH = 255
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


def dump_nix32(raw: bytes) -> str:
    """Encode ``raw`` in Nix's base 32: the bytes form a little-endian number, whose most significant digit is first."""
    length = (len(raw) * 8 + 4) // 5
    number = int.from_bytes(raw, "little")
    return "".join(NIX32[number >> 5 * position & 31] for position in reversed(range(length)))


def parse_nix32(text: str, size: int) -> bytes:
    """Decode Nix's base 32 to ``size`` bytes; raise `InvalidArgument` if ``text`` is not their encoding."""
    if len(text) != (size * 8 + 4) // 5:
        raise InvalidArgument(f"nix32 {short_repr(text)}", f"{len(text)} digits", f"the encoding of {size} bytes")
    number = 0
    for character in text:
        if character not in _NIX32_VALUE:
            raise InvalidArgument(f"nix32 {short_repr(text)}", short_repr(character), f"one of {NIX32}")
        number = number << 5 | _NIX32_VALUE[character]
    if number >> size * 8:
        raise InvalidArgument(
            f"nix32 {short_repr(text)}", f"more than {size * 8} bits", f"the encoding of {size} bytes"
        )
    return number.to_bytes(size, "little")


@dataclass(frozen=True, slots=True)
class Digest:
    """A SHA-256 digest; ``str`` gives OCI's form, ``sha256:`` and 64 hex digits.

    Attributes:
        raw: its 32 bytes.
    """

    raw: bytes

    def __post_init__(self) -> None:
        if not isinstance(self.raw, bytes):
            raise InvalidArgument("digest", short_repr(self.raw), "32 bytes", hint="Digest.parse reads texts")

    def __repr__(self) -> str:
        return f"Digest('{self}')"

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Parse ``sha256:HEX``, ``sha256:NIX32`` or ``sha256-BASE64`` (SRI).

        Raises:
            InvalidArgument: the text has another form, or names another algorithm.
        """
        algorithm, separator, rest = (text[:6], text[6:7], text[7:]) if isinstance(text, str) else ("", "", "")
        if algorithm != "sha256" or separator not in (":", "-"):
            raise InvalidArgument("digest", short_repr(text), "sha256:HEX, sha256:NIX32 or sha256-BASE64")
        if separator == "-":
            return cls(_parse_base64(text, rest))
        if len(rest) == 64:
            return cls.from_hex(rest)
        return cls(parse_nix32(rest, 32))

    @classmethod
    def parse_oci(cls, text: str) -> Digest:
        """Parse ``sha256:HEX``, the only form in OCI documents; raise `InvalidArgument` for any other text."""
        algorithm, _, digits = text.partition(":")
        if algorithm != "sha256" or not _HEX_DIGEST.fullmatch(digits):
            raise InvalidArgument("digest", short_repr(text), "sha256: and 64 hex digits")
        return cls(bytes.fromhex(digits))

    @classmethod
    def from_hex(cls, text: str) -> Digest:
        """Parse 64 lower-case hex digits; raise `InvalidArgument` for any other text."""
        if not _HEX_DIGEST.fullmatch(text):
            raise InvalidArgument("digest", short_repr(text), "64 lower-case hex digits")
        return cls(bytes.fromhex(text))

    @property
    def hex(self) -> str:
        """The 64 hex digits."""
        return self.raw.hex()

    @property
    def nix32(self) -> str:
        """Nix's form, ``sha256:`` and 52 digits of base 32, as in a narinfo."""
        return "sha256:" + dump_nix32(self.raw)

    @property
    def sri(self) -> str:
        """The digest as W3C Subresource Integrity (SRI), ``sha256-BASE64``, which newer versions of Nix print."""
        return "sha256-" + base64.b64encode(self.raw).decode()

    def __str__(self) -> str:
        return "sha256:" + self.raw.hex()


def _parse_base64(text: str, rest: str) -> bytes:
    try:
        raw = base64.b64decode(rest, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidArgument("digest", short_repr(text), "base 64 after 'sha256-'") from error
    if len(raw) != 32 or base64.b64encode(raw).decode() != rest:
        raise InvalidArgument("digest", short_repr(text), "the base 64 of 32 bytes")
    return raw


@dataclass(frozen=True, slots=True, order=True)
class StorePath:
    """A path directly in ``/nix/store``, named HASH-NAME. Store paths sort in the order of their texts.

    Attributes:
        base: the HASH-NAME.
    """

    base: str

    def __post_init__(self) -> None:
        if not isinstance(self.base, str) or self.base[HASH_LENGTH : HASH_LENGTH + 1] != "-":
            raise InvalidArgument("store path", short_repr(self.base), "HASH-NAME", hint="StorePath.parse reads texts")

    def __repr__(self) -> str:
        return f"StorePath('{self}')"

    @classmethod
    def parse(cls, text: str) -> StorePath:
        """Parse ``/nix/store/HASH-NAME``; raise `InvalidArgument` for other texts, even a path inside a store path."""
        folder, _, base = text.rpartition("/") if isinstance(text, str) else ("", "", "")
        if folder != STORE_DIR:
            raise InvalidArgument("store path", short_repr(text), f"{STORE_DIR}/HASH-NAME")
        return cls.parse_base(base)

    @classmethod
    def parse_base(cls, base: str) -> StorePath:
        """Parse ``HASH-NAME``, the last component of a store path; raise `InvalidArgument` for any other text."""
        digits, dash, name = base[:HASH_LENGTH], base[HASH_LENGTH : HASH_LENGTH + 1], base[HASH_LENGTH + 1 :]
        if not _STORE_HASH.fullmatch(digits) or dash != "-" or not _STORE_NAME.fullmatch(name):
            raise InvalidArgument("store path", short_repr(base), "HASH-NAME with a hash of 32 nix32 digits")
        return cls(base)

    @classmethod
    def split(cls, text: str) -> tuple[StorePath, str]:
        """Split ``text`` into its store path and the path inside of it, without slashes at either end.

        Raises:
            InvalidArgument: ``text`` is outside the store, or has ``.`` or ``..`` as a component.
        """
        prefix = STORE_DIR + "/"
        if not text.startswith(prefix):
            raise InvalidArgument("store path", short_repr(text), f"a path below {STORE_DIR}")
        base, *inside = text[len(prefix) :].split("/")
        parts = [part for part in inside if part]
        if "." in parts or ".." in parts:
            raise InvalidArgument("store path", short_repr(text), "a path without '.' or '..'")
        return cls.parse_base(base), "/".join(parts)

    @property
    def hash(self) -> str:
        """The 32 digits before the name."""
        return self.base[:HASH_LENGTH]

    @property
    def name(self) -> str:
        """The name after the hash: package name, version and output name."""
        return self.base[HASH_LENGTH + 1 :]

    @property
    def package(self) -> str:
        """The name without the version and what follows it."""
        return strip_version(self.name)

    @property
    def is_derivation(self) -> bool:
        """Whether the path is a derivation, the file in which Nix describes a build, and not what it builds."""
        return self.base.endswith(DERIVATION)

    def __str__(self) -> str:
        return f"{STORE_DIR}/{self.base}"


def is_store_hash(text: str) -> bool:
    """Return whether ``text`` has the form of the 32 digits before the name of a store path."""
    return bool(_STORE_HASH.fullmatch(text))


def split_version(name: str) -> tuple[str, str]:
    """Split ``name`` into the package and the version, which is empty if there is none.

    The version begins after the first dash that is followed by something other than a letter (Nix manual,
    builtins.parseDrvName).
    """
    found = re.search("-[^a-zA-Z]", name)
    return (name[: found.start()], name[found.start() + 1 :]) if found else (name, "")


def strip_version(name: str) -> str:
    """Return the package of ``name``, without the version and what follows it."""
    return split_version(name)[0]


@dataclass(frozen=True, slots=True)
class ImageReference:
    """A repository and a tag, as ``docker load`` shows them.

    Attributes:
        repository: the name without the tag.
        tag: the tag.
    """

    repository: str
    tag: str

    def __repr__(self) -> str:
        return f"ImageReference('{self}')"

    @classmethod
    def parse(cls, text: str) -> ImageReference:
        """Parse ``NAME:TAG``; raise `InvalidArgument` if either is missing or invalid."""
        repository, tag = split_reference(text)
        if tag is None:
            raise InvalidArgument("image name", short_repr(text), "NAME:TAG")
        return cls(parse_repository(repository), parse_tag(tag))

    def __str__(self) -> str:
        return f"{self.repository}:{self.tag}"


def split_reference(text: str) -> tuple[str, str | None]:
    """Split ``NAME`` or ``NAME:TAG``, unchecked; the tag is None if there is none.

    A colon before a slash is that of a port, as in ``host:5000/name``.
    """
    name, colon, tag = text.rpartition(":")
    return (text, None) if not colon or "/" in tag else (name, tag)


def parse_repository(text: str) -> str:
    """Parse the name of an image, and lower-case it as dockerTools does; raise `InvalidArgument` if it is invalid."""
    lowered = text.lower()
    # Lower-casing turns some letters outside ASCII into ASCII letters, so the check is made on `text` itself.
    if len(lowered) > _MAX_REPOSITORY_LENGTH:
        raise InvalidArgument("image name", f"{len(lowered)} characters", f"at most {_MAX_REPOSITORY_LENGTH}")
    if not text.isascii() or not _REPOSITORY.fullmatch(lowered):
        raise InvalidArgument(
            "image name",
            short_repr(text),
            "[HOST[:PORT]/]PATH of letters, digits and single . _ - between them",
        )
    return lowered


def is_repository_path(text: str) -> bool:
    """Return whether ``text`` is the name of a repository in a registry, without the registry's host.

    The grammar is that of the OCI distribution-spec 1.1, "Pulling manifests".
    """
    return len(text) <= _MAX_REPOSITORY_LENGTH and bool(_REPOSITORY_PATH.fullmatch(text))


def parse_tag(text: str) -> str:
    """Parse a tag and return it unchanged; raise `InvalidArgument` if it is invalid."""
    if not _TAG.fullmatch(text):
        raise InvalidArgument(
            "tag", short_repr(text), "up to 128 letters, digits, '_', '.' and '-', not starting with '.' or '-'"
        )
    return text


def parse_datetime(text: str) -> datetime:
    """Parse an ISO-8601 date or time and return it in UTC, without fractions of a second.

    ``@SECONDS`` counts from 1970, as ``date -d`` does. A text without a time zone is taken as UTC. Raises
    `InvalidArgument` for any other text.
    """
    text = text.strip()
    try:
        seconds = _TIMESTAMP.fullmatch(text)
        moment = datetime.fromtimestamp(int(seconds[1]), UTC) if seconds else datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError, OSError) as error:
        expected = "ISO-8601 such as 2026-01-31T12:00:00Z, '@' and seconds since 1970, or 'now'"
        raise InvalidArgument("date", short_repr(text), expected) from error
    return moment.replace(microsecond=0)


def parse_size(name: str, value: object) -> int:
    """Parse a size and return it in bytes. A size is a number, or a text such as 500M, 4GiB or 1.5TB.

    K, M, G, T and KiB, MiB, GiB, TiB are powers of 1024; KB, MB, GB and TB are powers of 1000. Raises `InvalidArgument`
    with a message that begins with ``name``.
    """
    found = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_BYTES:
        return value
    if found:
        base = 1000 if found[3].lower() == "b" and found[2] else 1024
        size = int(float(found[1]) * base ** "_kmgt".index(found[2].lower() or "_"))
        if size <= _MAX_BYTES:
            return size
    raise InvalidArgument(name, short_repr(value), "a number of bytes, or a size such as 500M or 4GiB")


@dataclass(frozen=True, slots=True)
class StoreSubpath:
    """A store path, or a folder inside one, whose content goes to the root of the image.

    Attributes:
        path: the store path.
        inside: the path of the folder below it; empty for the store path itself.
    """

    path: StorePath
    inside: str

    @classmethod
    def parse(cls, text: str) -> StoreSubpath:
        """Parse ``/nix/store/HASH-NAME[/INSIDE]``; raise `InvalidArgument` for any other text."""
        return cls(*StorePath.split(text))

    def __str__(self) -> str:
        return f"{self.path}/{self.inside}" if self.inside else str(self.path)
