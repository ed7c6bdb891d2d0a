"""Read and write the file ``lamina.lock`` beside a spec file."""

from __future__ import annotations

from pathlib import Path

from lamina.formats.pinned_images import LOCK_FILE, PinnedImages
from lamina.system.documents import read_document
from lamina.system.output import atomic_write

_MAX_SIZE = 1 << 20


def locate_lock_file(spec_file: Path) -> Path:
    """Return the lock file of a spec file; both are in one folder."""
    return spec_file.with_name(LOCK_FILE)


def read_lock_file(file: Path) -> PinnedImages:
    """Read a lock file.

    Raises:
        InputError: the file is missing, or cannot be read.
        FormatError: the file is not one that ``lamina lock`` wrote.

    """
    data = read_document(file, str(file), "a lock file", limit=_MAX_SIZE, hint="lamina lock writes it")
    return PinnedImages.parse(data, str(file))


def write_lock_file(file: Path, pinned: PinnedImages) -> bool:
    """Write a lock file, whole or not at all. A file that has the same content already is not touched.

    Returns:
        Whether the file changed.

    Raises:
        InvalidArgument: ``file`` is a folder.
        OutputError: the file cannot be written.

    """
    if is_current(file, pinned):
        return False
    with atomic_write(file) as out:
        out.write(memoryview(pinned.dump()))
    return True


def is_current(file: Path, pinned: PinnedImages) -> bool:
    """Return whether a lock file has the bytes that `write_lock_file` would write."""
    content = pinned.dump()
    try:
        return file.is_file() and file.stat().st_size == len(content) and file.read_bytes() == content
    except OSError:
        return False
