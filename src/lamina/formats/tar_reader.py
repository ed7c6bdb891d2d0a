"""A reader of tar headers in all usual formats: ustar, PAX, GNU and Unix V7.

Time and memory are linear in the length of the archive, and invalid bytes raise `FormatError`. The content of files is
not read. A member that reaches beyond the end of the archive is refused.

The fields and their offsets are in POSIX pax, "ustar Interchange Format" and "pax Header Block", and the GNU tar
manual, "Basic Tar Format". Extended attributes are the PAX records ``SCHILY.xattr.NAME``.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum

from lamina.errors import FormatError
from lamina.formats.tar import BLOCK, padded_size
from lamina.messages.redaction import short_repr

Read = Callable[[int, int], bytes]
"""A function that returns the bytes of an archive at an offset, given a size."""

_FIELDS = struct.Struct("100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12x")
_BLANK = b" " * 8
_ZEROS = bytes(BLOCK)
# This is more than all extended attributes that Linux allows a file to have.
_MAX_RECORDS_SIZE = 1 << 20
# Global records are merged into each following member, so their size is limited. `git archive` writes one comment.
# Global extended attributes would be copied for each member, and engines ignore them.
_MAX_GLOBAL_SIZE = 1 << 12
# This allows eight records for each of a million members.
_MAX_RECORDS = 1 << 23
_MAX_LENGTH_DIGITS = 20
_NUMBER = re.compile(rb"[ \0]*([0-7]*)[ \0]*")
_DECIMAL = re.compile(rb"(-?)([0-9]{1,19})(?:\.([0-9]*))?")
# The type flags of GNU's members for names that are too long for a field, and the PAX keywords they correspond to.
_LONG = {b"L": b"path", b"K": b"linkpath"}
_XATTR = b"SCHILY.xattr."
_SPARSE = b"GNU.sparse."
_USED_KEYS = frozenset((b"path", b"linkpath", b"size", b"uid", b"gid", b"uname", b"gname", b"mtime"))


class EntryKind(Enum):
    """The kind of file that a header describes."""

    FILE = "file"
    LINK = "hard link"
    SYMLINK = "symlink"
    CHARACTER = "character device"
    BLOCK = "block device"
    DIRECTORY = "folder"
    FIFO = "named pipe"


_KINDS = {
    b"0": EntryKind.FILE,
    b"\0": EntryKind.FILE,
    b"7": EntryKind.FILE,
    b"S": EntryKind.FILE,
    b"1": EntryKind.LINK,
    b"2": EntryKind.SYMLINK,
    b"3": EntryKind.CHARACTER,
    b"4": EntryKind.BLOCK,
    b"5": EntryKind.DIRECTORY,
    b"6": EntryKind.FIFO,
}


@dataclass(frozen=True, slots=True)
class TarHeader:
    """One member as its headers describe it.

    ``name`` is unchanged from the archive. Only files have a ``size``, in bytes; their content begins at the offset
    ``start``. Only links have a ``target`` and only devices a ``device`` (major and minor number). ``mtime`` is in
    whole seconds since 1970. The content of a ``sparse`` member is an encoding of the file and not the file itself.
    """

    name: bytes
    kind: EntryKind
    mode: int
    uid: int
    gid: int
    uname: bytes
    gname: bytes
    mtime: int
    size: int
    start: int
    target: bytes
    device: tuple[int, int]
    xattrs: tuple[tuple[bytes, bytes], ...]
    sparse: bool


def is_header(block: bytes) -> bool:
    """Return whether ``block`` is a tar header with a valid checksum."""
    return len(block) == BLOCK and block != _ZEROS and _checksum_matches(block)


def read_headers(read: Read, length: int) -> Iterator[TarHeader]:
    """Read the headers of the members of a tar archive, in order, up to a block of zeros or the end of the bytes.

    Args:
        read: a function that returns the bytes at an offset, given a size.
        length: the size of the archive in bytes.

    Raises:
        FormatError: a header is invalid, or the archive is truncated.

    """
    records = _Records()
    offset = 0
    while offset < length:
        block = read(offset, BLOCK)
        if block == _ZEROS:
            return
        if len(block) < BLOCK or not _checksum_matches(block):
            raise FormatError(f"tar at byte {offset}", "invalid bytes", "a header or the end of the archive")
        fields = _FIELDS.unpack(block)
        flag = fields[7]
        start = offset + BLOCK
        if flag in (b"x", b"X", b"g", b"L", b"K"):
            size = _parse_number(fields[4], offset)
            records.add(flag, _read_body(read, start, size, length), offset)
            offset = start + padded_size(size)
            continue
        if flag == b"S":
            start = _skip_sparse_map(read, block, start, length)
        header = _parse_header(fields, records.pop(), offset, start)
        if header.start + header.size > length:
            raise FormatError(
                f"tar at byte {offset}", f"{length - start} bytes", f"{header.size}: the archive is truncated"
            )
        yield header
        offset = start + padded_size(header.size)
    if records.pop(with_global=False):
        raise FormatError(f"tar at byte {offset}", "the end", "the member that the last records describe")


class _Records:
    """The PAX records, or GNU's equivalents, that apply to the next member or to all members that follow."""

    def __init__(self) -> None:
        self._global: dict[bytes, bytes] = {}
        self._own: dict[bytes, bytes] = {}
        self._own_size = 0
        self._count = 0

    def add(self, flag: bytes, body: bytes, offset: int) -> None:
        """Add the records in the ``body`` of a header of type ``flag``. Raises `FormatError`, also for too many."""
        records = {_LONG[flag]: _until_nul(body)} if flag in _LONG else _parse_records(body, offset)
        self._count += len(records)
        if self._count > _MAX_RECORDS:
            raise FormatError(f"tar at byte {offset}", f"more than {_MAX_RECORDS} records", "fewer")
        if flag == b"g":
            self._add_global(records, offset)
        else:
            self._own_size += len(body)
            _check_length(self._own_size, offset)
            self._own.update(records)

    def _add_global(self, records: dict[bytes, bytes], offset: int) -> None:
        """Keep the global records that have a meaning for every member."""
        kept = {key: value for key, value in records.items() if key in _USED_KEYS or key.startswith(_SPARSE)}
        self._global.update(kept)
        size = sum(len(key) + len(value) for key, value in self._global.items())
        if size > _MAX_GLOBAL_SIZE:
            raise FormatError(
                f"tar at byte {offset}", f"{size} bytes of records for all members", f"at most {_MAX_GLOBAL_SIZE}"
            )

    def pop(self, *, with_global: bool = True) -> dict[bytes, bytes]:
        """Remove and return the records of the next member, merged with the global ones if ``with_global``."""
        own = self._own
        if own:
            self._own, self._own_size = {}, 0
        return {**self._global, **own} if with_global and self._global else own


def _parse_header(fields: tuple[bytes, ...], records: dict[bytes, bytes], offset: int, start: int) -> TarHeader:
    name, mode, uid, gid, size, mtime, _, flag, target, magic, uname, gname, major, minor, prefix = fields
    kind = _KINDS.get(flag)
    if kind is None:
        raise FormatError(
            f"tar at byte {offset}", f"a member of type {short_repr(flag)}", "a file, folder, link or device"
        )
    is_ustar, is_gnu = magic[:6] == b"ustar\0", magic == b"ustar  \0"
    path = _until_nul(name)
    if is_ustar and prefix[:1] != b"\0":
        path = _until_nul(prefix) + b"/" + path
    path = records.get(b"GNU.sparse.name", records.get(b"path", path))
    link = records.get(b"linkpath", _until_nul(target))
    if b"\0" in path or b"\0" in link:
        raise FormatError(f"tar at byte {offset}", "a name with a zero byte", "a name without one")
    if flag == b"\0" and path.endswith(b"/"):
        kind = EntryKind.DIRECTORY  # The V7 format has no type flag for directories.
    owner = (uname, gname) if is_ustar or is_gnu else (b"", b"")
    is_device = kind in (EntryKind.CHARACTER, EntryKind.BLOCK)
    content_size = _record_or_field(records, b"size", size, offset) if kind is EntryKind.FILE else 0
    if content_size < 0:
        raise FormatError(f"tar at byte {offset}", f"a size of {content_size}", "a size that a file can have")
    return TarHeader(
        path,
        kind,
        _parse_number(mode, offset) & 0o7777,
        _record_or_field(records, b"uid", uid, offset),
        _record_or_field(records, b"gid", gid, offset),
        records.get(b"uname", _until_nul(owner[0])),
        records.get(b"gname", _until_nul(owner[1])),
        _record_or_field(records, b"mtime", mtime, offset),
        content_size,
        start,
        link if kind in (EntryKind.LINK, EntryKind.SYMLINK) else b"",
        (_parse_number(major, offset), _parse_number(minor, offset)) if is_device else (0, 0),
        _extract_xattrs(records) if records else (),
        flag == b"S" or any(key.startswith(_SPARSE) for key in records),
    )


def _extract_xattrs(records: dict[bytes, bytes]) -> tuple[tuple[bytes, bytes], ...]:
    return tuple(sorted((key[len(_XATTR) :], value) for key, value in records.items() if key.startswith(_XATTR)))


def _checksum_matches(block: bytes) -> bool:
    found = _NUMBER.match(block, 148, 156)
    if not found or not found[1]:
        return False
    expected = int(found[1], 8)
    rest = block[:148] + _BLANK + block[156:]
    # Some old writers summed the bytes as signed characters.
    return expected == sum(rest) or expected == sum(rest) - 256 * sum(byte > 127 for byte in rest)


def _parse_number(field: bytes, offset: int) -> int:
    if field[0] & 0x80:
        # GNU's base-256 encoding: the first bit is set, the rest is two's complement.
        value = int.from_bytes(field, "big")
        bits = 8 * len(field)
        return value - (1 << bits) if field[0] & 0x40 else value - (1 << bits - 1)
    digits = field[:-1]
    if digits.isdigit() and field[-1] == 0 and b"8" not in digits and b"9" not in digits:
        return int(digits, 8)  # A fast path: nearly all fields look like this.
    found = _NUMBER.match(field)
    if not found or (found.end() < len(field) and field[found.end() - 1 : found.end()] != b"\0"):
        raise FormatError(f"tar at byte {offset}", short_repr(field), "an octal number")
    return int(found[1] or b"0", 8)


def _record_or_field(records: dict[bytes, bytes], key: bytes, field: bytes, offset: int) -> int:
    """Return the number in the record ``key``, rounded down, or that in ``field`` if there is no such record."""
    text = records.get(key)
    if text is None:
        return _parse_number(field, offset)
    found = _DECIMAL.fullmatch(text)
    if not found:
        raise FormatError(f"tar at byte {offset}", f"{key.decode()} {short_repr(text)}", "a number")
    whole = int(found[2])
    return -whole - bool((found[3] or b"").strip(b"0")) if found[1] else whole


def _read_body(read: Read, start: int, size: int, length: int) -> bytes:
    _check_length(size, start)
    body = read(start, size)
    if len(body) < size or start + size > length:
        raise FormatError(f"tar at byte {start}", f"{len(body)} bytes", f"{size}: the archive is truncated")
    return body


def _check_length(size: int, offset: int) -> None:
    if not 0 <= size <= _MAX_RECORDS_SIZE:
        raise FormatError(f"tar at byte {offset}", f"{size} bytes of records", f"at most {_MAX_RECORDS_SIZE}")


def _parse_records(body: bytes, offset: int) -> dict[bytes, bytes]:
    """Parse PAX records: ``LENGTH KEY=VALUE`` and a newline, where LENGTH counts the whole record."""
    records = {}
    start = 0
    while start < len(body):
        space = body.find(b" ", start, start + _MAX_LENGTH_DIGITS)
        digits = body[start:space] if space > 0 else b""
        end = start + int(digits) if digits.isdigit() else -1
        equals = body.find(b"=", space, end) if end > 0 else -1
        if equals < 0 or body[end - 1 : end] != b"\n" or end > len(body):
            raise FormatError(f"tar at byte {offset}", short_repr(body[start : start + 20]), "a PAX record")
        records[body[space + 1 : equals]] = body[equals + 1 : end - 1]
        start = end
    return records


def _skip_sparse_map(read: Read, block: bytes, start: int, length: int) -> int:
    """Return the offset of the content of an old GNU sparse member, which follows the blocks with its sparse map."""
    more = block[482:483] == b"\1"
    while more and start < length:
        more = read(start, BLOCK)[504:505] == b"\1"
        start += BLOCK
    return start


def _until_nul(field: bytes) -> bytes:
    return field.partition(b"\0")[0]
