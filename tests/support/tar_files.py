"""Unpack tar files with every version of Python."""

from __future__ import annotations

import tarfile
from pathlib import Path


def unpack(archive: tarfile.TarFile, folder: Path) -> None:
    """Unpack ``archive`` to ``folder``; with Python 3.11.4 and newer, only what stays in ``folder``."""
    if hasattr(tarfile, "data_filter"):  # Debian 12 has Python 3.11.2
        archive.extraction_filter = tarfile.data_filter
    archive.extractall(folder)
