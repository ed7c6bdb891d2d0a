"""Tar headers as two writers make them: Python's ``tarfile`` in PAX format, and GNU tar.

Invariant: ``header_size(…) == len(header(…))`` with no file read, so an archive's size is known before its first
byte; and the same member gives the same bytes on every machine.

Store layers and the outer archive are PAX as Python 3.9 and later write it (nixpkgs' streamer), the customisation
layer is GNU's (``tar --format=gnu``). Both pad files to 512 bytes and the whole to 10240. Fields and offsets:
POSIX pax, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format".
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache, partial
from zlib import adler32

BLOCK = 512
# OCI image-spec, layer.md, "Whiteouts": names that take others out of the layers below.
WHITEOUT = b".wh."
OPAQUE = b".wh..wh..opq"
RECORD = 10240
_TEMPLATE_FIELDS = struct.Struct("100s24s12s12s8sc100s255s")
_HEADER = struct.Struct("100s8s8s8s12s12s8sc100s8s32s32s183s")
_PAX_MAGIC = b"ustar\x0000"
_GNU_MAGIC = b"ustar  \0"
_NAME = 100
_RECORD_ORDER = ("path", "linkpath", "uname", "gname", "uid", "gid", "size", "mtime")


HeaderTemplate = Callable[[bytes, int, bytes], bytes]
"""From a member's name, size and target to its header."""


class TypeFlag(bytes, Enum):
    """What a member is: tar's type flag."""

    FILE = b"0"
    LINK = b"1"
    SYMLINK = b"2"
    CHARACTER = b"3"
    BLOCK = b"4"
    DIRECTORY = b"5"
    FIFO = b"6"


@dataclass(frozen=True, slots=True)
class Owner:
    """Who a member belongs to."""

    uid: int = 0
    gid: int = 0
    uname: str = ""
    gname: str = ""


@dataclass(frozen=True, slots=True)
class Member:
    """One member: a folder's name has its slash at the end, only a file has a size, only links have a target.

    ``device`` is what a device file stands for, major and minor number.
    """

    name: bytes
    kind: TypeFlag
    mode: int
    size: int = 0
    target: bytes = b""
    device: tuple[int, int] | None = None


def padding(size: int) -> bytes:
    """The zeros between a file of ``size`` bytes and the next header."""
    return bytes(-size % BLOCK)


def padded_size(size: int) -> int:
    """What a file of ``size`` bytes takes in an archive."""
    return size + -size % BLOCK


def trailer_size(size: int) -> int:
    """The length of the zeros that end an archive whose members take ``size`` bytes: two blocks, then up to 10240."""
    return 2 * BLOCK + -(size + 2 * BLOCK) % RECORD


class PaxHeaders:
    """Headers of members that share owner, date and extended attributes, as ``tarfile`` writes them in PAX format.

    ``mtime`` is in whole seconds since 1970. ``xattrs`` become the records that star began with and GNU tar, bsdtar and
    the engines read: ``SCHILY.xattr.NAME`` (star manual, "Extended attributes").
    """

    def __init__(self, owner: Owner, mtime: int, xattrs: Sequence[tuple[str, bytes]] = ()) -> None:
        numbers = (("uid", owner.uid, 7), ("gid", owner.gid, 7), ("mtime", mtime, 11))
        names = tuple(text.encode("utf-8", "surrogateescape") for text in (owner.uname, owner.gname))
        self._numbers = tuple(_octal(value if _fits(value, digits) else 0, digits) for _, value, digits in numbers)
        self._names = _ascii(names[0]), _ascii(names[1])
        # What every member of this archive needs a PAX record for.
        self._shared = {
            key: text
            for key, text in zip(("uname", "gname"), names, strict=True)
            if not text.isascii() or len(text) > 32
        } | {key: b"%d" % value for key, value, digits in numbers if not _fits(value, digits)}
        self._xattrs = {f"SCHILY.xattr.{name}": value for name, value in xattrs}

    def header(self, member: Member) -> bytes:
        """The member's header, behind a PAX header where ustar's fields cannot hold it."""
        uid, gid, mtime = self._numbers
        plain = self._fits_ustar(member)
        size = _octal(member.size if _fits(member.size, 11) else 0, 11)
        name, target = (member.name, member.target) if plain else (_ascii(member.name), _ascii(member.target))
        numbers = uid, gid, size, mtime
        block = _block(name, member.mode, numbers, member.kind, target, _PAX_MAGIC, self._names, member.device)
        return block if plain else _pax_header(self._records(member), self._xattrs) + block

    def header_template(self, kind: TypeFlag, mode: int) -> HeaderTemplate:
        """`header` for members of one kind and mode, given name, size and target: made for many, in little time."""
        return (
            _make_template(self, kind, mode)
            if not self._shared and not self._xattrs
            else partial(self._header_of, kind, mode)
        )

    def _header_of(self, kind: TypeFlag, mode: int, name: bytes, size: int, target: bytes) -> bytes:
        return self.header(Member(name, kind, mode, size, target))

    def header_size(self, member: Member) -> int:
        """The length of `header`, without making one."""
        if self._fits_ustar(member):
            return BLOCK
        return 2 * BLOCK + padded_size(_body_size(self._records(member), self._xattrs))

    def templated_size(self, name: bytes, size: int, target: bytes) -> int:
        """The length of what a `header_template` gives."""
        if not self._shared and not self._xattrs and not target and name.isascii() and not size >> 33:
            length = len(name)
            return BLOCK if length <= _NAME else 2 * BLOCK + padded_size(_record_size(4, length))
        return self.header_size(Member(name, TypeFlag.FILE, 0, size, target))

    def _fits_ustar(self, member: Member) -> bool:
        return (
            not self._shared
            and not self._xattrs
            and len(member.name) <= _NAME
            and len(member.target) <= _NAME
            and _fits(member.size, 11)
            and member.name.isascii()
            and member.target.isascii()
        )

    def _records(self, member: Member) -> dict[str, bytes]:
        """What ustar's fields cannot hold, in the order in which tarfile looks at its fields."""
        own = {}
        if len(member.name) > _NAME or not member.name.isascii():
            own["path"] = member.name
        if len(member.target) > _NAME or not member.target.isascii():
            own["linkpath"] = member.target
        if not _fits(member.size, 11):
            own["size"] = b"%d" % member.size
        if not self._shared:
            return own
        records = own | self._shared
        return {key: records[key] for key in _RECORD_ORDER if key in records}


@lru_cache(1024)
def _path_record_parts(length: int) -> tuple[bytes, bytes]:
    """What stands before and behind a name of that length in a PAX header that holds nothing else."""
    size = _record_size(4, length)
    return _pax_block(size) + b"%d path=" % size, b"\n" + padding(size)


def _make_template(headers: PaxHeaders, kind: TypeFlag, mode: int) -> HeaderTemplate:
    """What all members share stands ready, its bytes added up; a name that ustar has no room for costs a PAX header."""
    ready = headers.header(Member(b"", kind, mode))
    before, after, end = ready[100:124], ready[136:148], ready[257:]
    sizeless = sum(ready) - sum(ready[124:136]) - sum(ready[148:156]) + 8 * ord(" ") - 1
    pack = _TEMPLATE_FIELDS.pack

    def header_template(name: bytes, size: int, target: bytes) -> bytes:
        length = len(name)
        if length > _NAME or not name.isascii() or len(target) > _NAME or not target.isascii() or size >> 33:
            if target or size >> 33 or not name.isascii():
                return headers.header(Member(name, kind, mode, size, target))
            start, rest = _path_record_parts(length)
            first, name = start + name + rest, name[:_NAME]
        else:
            first = b""
        digits = b"%011o\0" % size
        # Adler-32 begins with the sum of the bytes and 1, as long as that is below 65521 (RFC 1950, 8.2).
        checksum = b"%06o\0 " % (sizeless + (adler32(name + digits + target) & 0xFFFF))
        return first + pack(name, before, digits, after, checksum, kind, target, end)

    return header_template


class GnuHeaders:
    """Headers as ``tar --format=gnu --numeric-owner`` writes them; ``mtime`` is in whole seconds since 1970."""

    def __init__(self, mtime: int) -> None:
        self._mtime = mtime

    def header(self, member: Member, owner: Owner) -> bytes:
        """The member's header, behind ``././@LongLink`` members where name or target is too long."""
        fields = (
            _gnu_number(owner.uid, 7),
            _gnu_number(owner.gid, 7),
            _gnu_number(member.size, 11),
            _gnu_number(self._mtime, 11),
        )
        block = _block(member.name, member.mode, fields, member.kind, member.target, _GNU_MAGIC, (b"", b""))
        return _long(b"K", member.target) + _long(b"L", member.name) + block

    def header_size(self, member: Member) -> int:
        """The length of `header`."""
        return BLOCK + _long_size(member.target) + _long_size(member.name)


def _block(
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
    numbers_of_device = b"".join(_gnu_number(number, 7) for number in device or ())
    mode_text = b"%07o\0" % mode
    # The fields of a ustar header that are the same for most members of an archive are added up once.
    constant = _sum((mode_text, uid, gid, mtime, kind, magic, owner[0][:32], owner[1][:32], numbers_of_device))
    checksum = constant + sum(name[:_NAME]) + sum(size) + sum(target[:_NAME])
    fields = (name, mode_text, uid, gid, size, mtime, b"%06o\0 " % checksum, kind, target, magic)
    return _HEADER.pack(*fields, owner[0], owner[1], numbers_of_device)


@lru_cache(4096)
def _sum(fields: tuple[bytes, ...]) -> int:
    """The sum of the fields' bytes, and of the spaces that stand in the checksum's place while it is made."""
    return sum(map(sum, fields)) + 8 * ord(" ")


def _fits(number: int, digits: int) -> bool:
    return 0 <= number < 1 << 3 * digits


def _octal(number: int, digits: int) -> bytes:
    return b"%0*o\0" % (digits, number)


def _gnu_number(number: int, digits: int) -> bytes:
    if _fits(number, digits):
        return _octal(number, digits)
    # GNU's base 256: the first bit set, the rest two's complement (GNU tar manual, "Extensions").
    raw = number.to_bytes(digits + 1, "big", signed=True)
    return bytes([raw[0] | 0x80]) + raw[1:]


def _ascii(text: bytes) -> bytes:
    if text.isascii():
        return text
    return text.decode("utf-8", "surrogateescape").encode("ascii", "replace")


def _pax_header(records: dict[str, bytes], xattrs: dict[str, bytes]) -> bytes:
    body = b"".join(
        _pax_record(key.encode("utf-8", "surrogateescape"), value) for key, value in (records | xattrs).items()
    )
    if not all(map(_is_utf8, records.values())):
        body = _pax_record(b"hdrcharset", b"BINARY") + body
    return _pax_block(len(body)) + body + padding(len(body))


@lru_cache(1024)
def _pax_block(size: int) -> bytes:
    """The header of a PAX header of ``size`` bytes."""
    zero = _octal(0, 7)
    numbers = (zero, zero, _octal(size, 11), _octal(0, 11))
    return _block(b"././@PaxHeader", 0, numbers, b"x", b"", _PAX_MAGIC, (b"", b""))


def _body_size(records: dict[str, bytes], xattrs: dict[str, bytes]) -> int:
    """The length of a PAX header's records."""
    charset = 0 if all(map(_is_utf8, records.values())) else _record_size(10, 6)
    return charset + sum(
        _record_size(len(key.encode("utf-8", "surrogateescape")), len(value))
        for key, value in (records | xattrs).items()
    )


def _pax_record(key: bytes, value: bytes) -> bytes:
    """``LENGTH KEY=VALUE``, where LENGTH counts its own digits too."""
    return b"%d %s=%s\n" % (_record_size(len(key), len(value)), key, value)


def _record_size(key: int, value: int) -> int:
    rest = key + value + 3
    return rest + len(str(rest + len(str(rest))))


def _is_utf8(text: bytes) -> bool:
    if text.isascii():
        return True
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _long(kind: bytes, text: bytes) -> bytes:
    if len(text) <= _NAME:
        return b""
    body = text + b"\0"
    zero = _octal(0, 7)
    numbers = (zero, zero, _octal(len(body), 11), _octal(0, 11))
    block = _block(b"././@LongLink", 0o644, numbers, kind, b"", _GNU_MAGIC, (b"", b""))
    return block + body + padding(len(body))


def _long_size(text: bytes) -> int:
    return BLOCK + padded_size(len(text) + 1) if len(text) > _NAME else 0
