"""The lock that prevents the blobs of an OCI layout from being removed while an image is written."""

from __future__ import annotations

from pathlib import Path

from lamina.system.locks import FileLock


def lock_blobs(layout: Path, *, shared: bool) -> FileLock:
    """Lock the blobs of a layout.

    Processes that write images wait for the lock, and share it for as long as they rely on existing blobs. A process
    that removes blobs holds the lock exclusively. It does not wait, but raises `Unavailable` if the lock is not free.
    """
    return FileLock(layout / "blobs", str(layout), shared=shared, timeout=None if shared else 0)
