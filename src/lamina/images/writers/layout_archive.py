"""Write an OCI layout as one tar, an OCI archive (OCI image-spec 1.1, "Image Layout")."""

from __future__ import annotations

import os
from pathlib import Path

from lamina.core.nodes import Extent
from lamina.errors import output_error
from lamina.formats.oci import INDEX, LAYOUT
from lamina.images.writers.members import MemberWriter
from lamina.system.fd_writer import Output

# The date of the archive's members: 1970-01-01T00:00:01Z, the default date of images.
_MTIME = 1
_BLOBS = "blobs/sha256"


def write_layout_archive(folder: Path, out: Output) -> None:
    """Write the layout at ``folder``, which nothing else changes, to ``out``; equal layouts give equal bytes.

    Raises `OutputError` if a file of the layout cannot be read; errors of ``out`` are passed on.
    """
    members = MemberWriter(out, _MTIME)
    for name in (LAYOUT, *(f"{_BLOBS}/{name}" for name in sorted(os.listdir(folder / _BLOBS))), INDEX):
        members.write_blob(name, _open(folder / name))
    members.close()


def _open(file: Path) -> Extent:
    try:
        status = file.stat()
    except OSError as error:
        raise output_error(file, error) from error
    return Extent.whole(os.fsencode(file), status.st_size, status.st_mtime_ns)
