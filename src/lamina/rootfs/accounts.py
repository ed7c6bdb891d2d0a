"""Users and groups merged into the files of a base image.

Invariant: an account that the base has stays as it is, in its line and at its place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from lamina.rootfs.tree import Meta

# More than any system of thousands of users has.
MAX_ACCOUNT_FILE_SIZE = 1 << 20


@dataclass(frozen=True, slots=True)
class BaseFile:
    """A file of a base image at the path where links lead to: its content, mode and owner."""

    path: bytes
    content: bytes
    meta: Meta


FindFile: TypeAlias = Callable[[bytes, int], BaseFile | None]
"""Finds the file of a base image that a path leads to, None if there is none; refuses one longer than so many bytes."""


def find_no_file(path: bytes, max_size: int) -> BaseFile | None:
    """Find nothing, as where there is no base image."""
    return None


def merge_accounts(base: bytes, own: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Add the lines of ``own`` to the passwd or group file ``base``, but for the names that it has.

    Returns the file, and the names that were added.
    """
    known = {_name(line) for line in base.splitlines()}
    added = [line for line in own.splitlines() if _name(line) not in known]
    if not added:
        return base, ()
    start = base if base.endswith(b"\n") or not base else base + b"\n"
    return start + b"".join(line + b"\n" for line in added), tuple(_name(line).decode() for line in added)


def _name(line: bytes) -> bytes:
    return line.partition(b":")[0]
