"""Tar headers, byte for byte as Python's ``tarfile`` (PAX format) and GNU tar write them.

The size of a header is known without making it, so the size of an archive is known before its first byte is written.

Invariant: ``header_size(…) == len(make_header(…))``.

Store layers and the outer archive use PAX as Python 3.9 and later write it, because nixpkgs' streamer does; the
customisation layer uses GNU's format (``tar --format=gnu``). Both pad files to 512 bytes and the archive to 10240.
The fields and their offsets are in POSIX pax, "ustar Interchange Format", and the GNU tar manual, "Basic Tar Format".
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache, partial
from zlib import adler32

from lamina.core.nodes import is_utf8

# Sizes in bytes: files are padded to blocks, archives to records.
BLOCK = 512
RECORD = 10240
# Names that hide files of lower layers: a prefix that hides one file, and a name that hides everything in a directory
# (OCI image-spec, layer.md, "Whiteouts").
WHITEOUT = b".wh."
OPAQUE = b".wh..wh..opq"
_TEMPLATE = struct.Struct("100s24s12s12s8sc100s255s")
_HEADER = struct.Struct("100s8s8s8s12s12s8sc100s8s32s32s183s")
_PAX_MAGIC = b"ustar\x0000"
_GNU_MAGIC = b"ustar  \0"
_NAME_SIZE = 100
_RECORD_ORDER = ("path", "linkpath", "uname", "gname", "uid", "gid", "size", "mtime")


HeaderTemplate = Callable[[bytes, int, bytes], bytes]
"""A function from a member's name, size and link target to its header."""


class TypeFlag(bytes, Enum):
    """The type of a member, as stored in the ``typeflag`` field of its header."""

    FILE = b"0"
    LINK = b"1"
    SYMLINK = b"2"
    CHARACTER = b"3"
    BLOCK = b"4"
    DIRECTORY = b"5"
    FIFO = b"6"


@dataclass(frozen=True, slots=True)
class Owner:
    """The user and the group that own a member, by number and by name.

    Attributes:
        uid: the number of the user.
        gid: the number of the group.
        uname: the name of the user.
        gname: the name of the group.
    """

    uid: int = 0
    gid: int = 0
    uname: str = ""
    gname: str = ""


@dataclass(frozen=True, slots=True)
class Member:
    """One member of an archive.

    The name of a folder ends in a slash. Only files have a ``size`` (in bytes) and only links a ``target``. ``device``
    is the major and minor number of a device file.
    """

    name: bytes
    kind: TypeFlag
    mode: int
    size: int = 0
    target: bytes = b""
    device: tuple[int, int] | None = None


def padding(size: int) -> bytes:
    """Return the zeros between a file of ``size`` bytes and the next header."""
    return bytes(-size % BLOCK)


def padded_size(size: int) -> int:
    """Return the number of bytes that the content of a file of ``size`` bytes takes in an archive."""
    return size + -size % BLOCK


def trailer_size(size: int) -> int:
    """Return how many zeros end an archive whose members take ``size`` bytes: two blocks, then padding to a record."""
    return 2 * BLOCK + -(size + 2 * BLOCK) % RECORD


class PaxHeaders:
    """A writer of PAX headers, as ``tarfile`` writes them, for members that share owner, date and extended attributes.

    ``mtime`` is in whole seconds since 1970. ``xattrs`` become PAX records ``SCHILY.xattr.NAME``, which star introduced
    and GNU tar, bsdtar and container engines read (star manual, "Extended attributes").
    """

    def __init__(self, owner: Owner, mtime: int, xattrs: Sequence[tuple[str, bytes]] = ()) -> None:
        numbers = (("uid", owner.uid, 7), ("gid", owner.gid, 7), ("mtime", mtime, 11))
        names = tuple(text.encode("utf-8", "surrogateescape") for text in (owner.uname, owner.gname))
        self._numbers = tuple(_octal(value if _fits(value, digits) else 0, digits) for _, value, digits in numbers)
        self._names = _to_ascii(names[0]), _to_ascii(names[1])
        # Values that do not fit the ustar fields and therefore need a PAX record in every member.
        self._shared = {
            key: text
            for key, text in zip(("uname", "gname"), names, strict=True)
            if not text.isascii() or len(text) > 32
        } | {key: b"%d" % value for key, value, digits in numbers if not _fits(value, digits)}
        self._xattrs = {f"SCHILY.xattr.{name}": value for name, value in xattrs}

    def make_header(self, member: Member) -> bytes:
        """Return the header of ``member``, preceded by a PAX header if a value does not fit the ustar fields."""
        uid, gid, mtime = self._numbers
        plain = self._fits_ustar(member)
        size = _octal(member.size if _fits(member.size, 11) else 0, 11)
        name, target = (member.name, member.target) if plain else (_to_ascii(member.name), _to_ascii(member.target))
        numbers = uid, gid, size, mtime
        block = _pack_header(name, member.mode, numbers, member.kind, target, _PAX_MAGIC, self._names, member.device)
        return block if plain else _pax_header(self._records(member), self._xattrs) + block

    def make_template(self, kind: TypeFlag, mode: int) -> HeaderTemplate:
        """Return a function that gives the same headers as `make_header` for one kind and mode, at a lower cost."""
        return (
            _make_fast_template(self, kind, mode)
            if not self._shared and not self._xattrs
            else partial(self._make_one, kind, mode)
        )

    def _make_one(self, kind: TypeFlag, mode: int, name: bytes, size: int, target: bytes) -> bytes:
        return self.make_header(Member(name, kind, mode, size, target))

    def header_size(self, member: Member) -> int:
        """Return the length of the header of ``member`` without making it."""
        if self._fits_ustar(member):
            return BLOCK
        return 2 * BLOCK + padded_size(_body_size(self._records(member), self._xattrs))

    def templated_size(self, name: bytes, size: int, target: bytes) -> int:
        """Return the length of the header that a `make_template` gives for these values."""
        if not self._shared and not self._xattrs and not target and name.isascii() and not size >> 33:
            length = len(name)
            return BLOCK if length <= _NAME_SIZE else 2 * BLOCK + padded_size(_record_size(4, length))
        return self.header_size(Member(name, TypeFlag.FILE, 0, size, target))

    def _fits_ustar(self, member: Member) -> bool:
        return (
            not self._shared
            and not self._xattrs
            and len(member.name) <= _NAME_SIZE
            and len(member.target) <= _NAME_SIZE
            and _fits(member.size, 11)
            and member.name.isascii()
            and member.target.isascii()
        )

    def _records(self, member: Member) -> dict[str, bytes]:
        """Return the PAX records for the values that do not fit the ustar fields, in the order of ``tarfile``."""
        own = {}
        if len(member.name) > _NAME_SIZE or not member.name.isascii():
            own["path"] = member.name
        if len(member.target) > _NAME_SIZE or not member.target.isascii():
            own["linkpath"] = member.target
        if not _fits(member.size, 11):
            own["size"] = b"%d" % member.size
        if not self._shared:
            return own
        records = own | self._shared
        return {key: records[key] for key in _RECORD_ORDER if key in records}


@lru_cache(1024)
def _path_record_parts(length: int) -> tuple[bytes, bytes]:
    """Return what precedes and follows a name of ``length`` bytes in a PAX header with no other record."""
    size = _record_size(4, length)
    return _pax_block(size) + b"%d path=" % size, b"\n" + padding(size)


def _make_fast_template(headers: PaxHeaders, kind: TypeFlag, mode: int) -> HeaderTemplate:
    """Return a function that fills name, size and target into a prepared header with a prepared checksum."""
    blank = headers.make_header(Member(b"", kind, mode))
    before, after, end = blank[100:124], blank[136:148], blank[257:]
    # The sum of the constant fields and of the checksum field, which counts as spaces, minus the 1 that Adler-32 adds.
    constant = sum(blank) - sum(blank[124:136]) - sum(blank[148:156]) + 8 * ord(" ") - 1
    pack = _TEMPLATE.pack

    def make_header(name: bytes, size: int, target: bytes) -> bytes:
        length = len(name)
        if length > _NAME_SIZE or not name.isascii() or len(target) > _NAME_SIZE or not target.isascii() or size >> 33:
            if target or size >> 33 or not name.isascii():
                return headers.make_header(Member(name, kind, mode, size, target))
            start, rest = _path_record_parts(length)
            first, name = start + name + rest, name[:_NAME_SIZE]
        else:
            first = b""
        digits = b"%011o\0" % size
        # The low half of an Adler-32 is 1 plus the sum of the bytes, as long as that is below 65521 (RFC 1950, 8.2).
        checksum = b"%06o\0 " % (constant + (adler32(name + digits + target) & 0xFFFF))
        return first + pack(name, before, digits, after, checksum, kind, target, end)

    return make_header


class GnuHeaders:
    """A writer of headers like those of ``tar --format=gnu --numeric-owner``.

    ``mtime`` is in whole seconds since 1970.
    """

    def __init__(self, mtime: int) -> None:
        self._mtime = mtime

    def make_header(self, member: Member, owner: Owner) -> bytes:
        """Return the header of ``member``, preceded by ``././@LongLink`` members for a long name or target."""
        fields = (
            _gnu_number(owner.uid, 7),
            _gnu_number(owner.gid, 7),
            _gnu_number(member.size, 11),
            _gnu_number(self._mtime, 11),
        )
        block = _pack_header(member.name, member.mode, fields, member.kind, member.target, _GNU_MAGIC, (b"", b""))
        return _long_link(b"K", member.target) + _long_link(b"L", member.name) + block

    def header_size(self, member: Member) -> int:
        """Return the length of the header of ``member`` without making it."""
        return BLOCK + _long_link_size(member.target) + _long_link_size(member.name)


def _pack_header(
    name: bytes,
    mode: int,
    numbers: tuple[bytes, bytes, bytes, bytes],
    kind: bytes,
    target: bytes,
    magic: bytes,
    owner: tuple[bytes, bytes],
    device: tuple[int, int] | None = None,
) -> bytes:
    uid, gid, size, mtime = numbers
    device_numbers = b"".join(_gnu_number(number, 7) for number in device or ())
    mode_text = b"%07o\0" % mode
    # Most members of an archive share these fields, so their sum is cached.
    constant = _sum_fields((mode_text, uid, gid, mtime, kind, magic, owner[0][:32], owner[1][:32], device_numbers))
    checksum = constant + sum(name[:_NAME_SIZE]) + sum(size) + sum(target[:_NAME_SIZE])
    fields = (name, mode_text, uid, gid, size, mtime, b"%06o\0 " % checksum, kind, target, magic)
    return _HEADER.pack(*fields, owner[0], owner[1], device_numbers)


@lru_cache(4096)
def _sum_fields(fields: tuple[bytes, ...]) -> int:
    """Return the sum of the bytes of ``fields`` and of the eight spaces that the checksum counts for itself."""
    return sum(map(sum, fields)) + 8 * ord(" ")


def _fits(number: int, digits: int) -> bool:
    return 0 <= number < 1 << 3 * digits


def _octal(number: int, digits: int) -> bytes:
    return b"%0*o\0" % (digits, number)


def _gnu_number(number: int, digits: int) -> bytes:
    if _fits(number, digits):
        return _octal(number, digits)
    # GNU's base-256 encoding: the first bit is set, the rest is two's complement (GNU tar manual, "Extensions").
    raw = number.to_bytes(digits + 1, "big", signed=True)
    return bytes([raw[0] | 0x80]) + raw[1:]


def _to_ascii(text: bytes) -> bytes:
    if text.isascii():
        return text
    return text.decode("utf-8", "surrogateescape").encode("ascii", "replace")


def _pax_header(records: dict[str, bytes], xattrs: dict[str, bytes]) -> bytes:
    body = b"".join(
        _pax_record(key.encode("utf-8", "surrogateescape"), value) for key, value in (records | xattrs).items()
    )
    if not all(map(is_utf8, records.values())):
        body = _pax_record(b"hdrcharset", b"BINARY") + body
    return _pax_block(len(body)) + body + padding(len(body))


@lru_cache(1024)
def _pax_block(size: int) -> bytes:
    """Return the tar header of a PAX header whose records take ``size`` bytes."""
    zero = _octal(0, 7)
    numbers = (zero, zero, _octal(size, 11), _octal(0, 11))
    return _pack_header(b"././@PaxHeader", 0, numbers, b"x", b"", _PAX_MAGIC, (b"", b""))


def _body_size(records: dict[str, bytes], xattrs: dict[str, bytes]) -> int:
    """Return the length of the records of a PAX header."""
    charset = 0 if all(map(is_utf8, records.values())) else _record_size(10, 6)
    return charset + sum(
        _record_size(len(key.encode("utf-8", "surrogateescape")), len(value))
        for key, value in (records | xattrs).items()
    )


def _pax_record(key: bytes, value: bytes) -> bytes:
    """Return the PAX record ``LENGTH KEY=VALUE`` and a newline; LENGTH includes its own digits."""
    return b"%d %s=%s\n" % (_record_size(len(key), len(value)), key, value)


def _record_size(key: int, value: int) -> int:
    rest = key + value + 3
    return rest + len(str(rest + len(str(rest))))


def _long_link(kind: bytes, text: bytes) -> bytes:
    if len(text) <= _NAME_SIZE:
        return b""
    body = text + b"\0"
    zero = _octal(0, 7)
    numbers = (zero, zero, _octal(len(body), 11), _octal(0, 11))
    block = _pack_header(b"././@LongLink", 0o644, numbers, kind, b"", _GNU_MAGIC, (b"", b""))
    return block + body + padding(len(body))


def _long_link_size(text: bytes) -> int:
    return BLOCK + padded_size(len(text) + 1) if len(text) > _NAME_SIZE else 0
