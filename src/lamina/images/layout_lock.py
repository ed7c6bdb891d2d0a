"""The lock that keeps the blobs of an OCI layout where they are while an image is written."""

from __future__ import annotations

from pathlib import Path

from lamina.system.locks import FileLock


def lock_blobs(layout: Path, *, shared: bool) -> FileLock:
    """Lock the blobs of a layout.

    Those who write images share the lock for as long as they count on blobs that are there, and wait for it. Those who
    remove blobs hold it alone; they do not wait, and raise `Unavailable` instead.
    """
    return FileLock(layout / "blobs", str(layout), shared=shared, timeout=None if shared else 0)
