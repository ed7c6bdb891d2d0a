"""Write the members of an archive that contains images."""

from __future__ import annotations

from collections.abc import Callable

from lamina.core.nodes import Extent
from lamina.formats.tar import Member, Owner, PaxHeaders, TypeFlag, padding, trailer_size
from lamina.system.fd_writer import Output
from lamina.system.transfer import copy


class MemberWriter:
    """Writes files as the members of a tar; ``mtime`` is their date, in seconds since 1970."""

    def __init__(self, out: Output, mtime: int) -> None:
        self._out = out
        self._headers = PaxHeaders(Owner(), mtime)
        self.size: int = 0
        """The number of bytes written so far."""

    def write_member(self, name: str, size: int, write: Callable[[Output], object]) -> None:
        """Write a member whose ``size`` bytes are those that ``write`` writes to its argument."""
        header = self._headers.make_header(Member(name.encode(), TypeFlag.FILE, 0o644, size))
        self._write_bytes(memoryview(header))
        write(self._out)
        self.size += size
        self._write_bytes(memoryview(padding(size)))

    def write_blob(self, name: str, blob: Extent) -> None:
        """Write a member with the bytes of ``blob``."""
        self.write_member(name, blob.length, lambda out: copy((blob,), out))

    def write_file(self, name: str, data: bytes) -> None:
        """Write a member with the bytes ``data``."""
        self.write_member(name, len(data), lambda out: out.write(memoryview(data)))

    def close(self) -> None:
        """Write the end of the tar."""
        self._write_bytes(memoryview(bytes(trailer_size(self.size))))

    def _write_bytes(self, data: memoryview) -> None:
        self._out.write(data)
        self.size += len(data)
