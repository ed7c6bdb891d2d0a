"""Merge users and groups into the passwd and group files of a base image.

Invariant: the lines of the base image's file stay unchanged and in their order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from lamina.rootfs.tree import Meta

# The accounts that nixpkgs' fakeNss has.
PASSWD = b"root:x:0:0:root user:/var/empty:/bin/sh\nnobody:x:65534:65534:nobody:/var/empty:/bin/sh\n"
GROUP = b"root:x:0:\nnobody:x:65534:\n"
# The files of a system with thousands of users are smaller than this.
MAX_ACCOUNT_FILE_SIZE = 1 << 20


@dataclass(frozen=True, slots=True)
class BaseFile:
    """A file of a base image: its path after symlinks were followed, its content, mode and owner."""

    path: bytes
    content: bytes
    meta: Meta


FindFile: TypeAlias = Callable[[bytes, int], BaseFile | None]
"""A function that finds a file of the base image, or returns None. It raises an error above a size limit."""


def find_no_file(path: bytes, max_size: int) -> BaseFile | None:
    """Return None, because there is no base image."""
    return None


def merge_accounts(base: bytes, own: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Add the lines of ``own`` to the passwd or group file ``base``, except for names that ``base`` already has.

    Returns:
        The content of the merged file, and the names that were added.
    """
    known = {_name(line) for line in base.splitlines()}
    added = [line for line in own.splitlines() if _name(line) not in known]
    if not added:
        return base, ()
    start = base if base.endswith(b"\n") or not base else base + b"\n"
    return start + b"".join(line + b"\n" for line in added), tuple(_name(line).decode() for line in added)


def _name(line: bytes) -> bytes:
    return line.partition(b":")[0]
