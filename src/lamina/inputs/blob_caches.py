"""Open the blob cache in which the layers of an image are kept once they are compressed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from threading import RLock
from typing import TYPE_CHECKING

from lamina.images.shared_blob_cache import make_blob_cache

if TYPE_CHECKING:  # most images have none
    from lamina.images.blob_cache import BlobCache
    from lamina.inputs.spec import Spec


class BlobCaches:
    """The blob caches of several images, of which each is opened once; safe for many threads.

    Args:
        warn: is called with each warning.
    """

    def __init__(self, warn: Callable[[str], object]) -> None:
        self._warn = warn
        self._lock = RLock()
        self._opened: dict[tuple[str | None, str | None, bool], BlobCache | None] = {}

    def find(self, spec: Spec) -> BlobCache | None:
        """Return the blob cache that the arguments of an image name; None if they name none.

        Raises `InvalidArgument` if it is a bucket, and there is no folder in front of it.
        """
        key = (spec.blob_cache, spec.local_blob_cache, spec.offline)
        with self._lock:
            if key not in self._opened:
                place, local, offline = key
                self._opened[key] = make_blob_cache(place, local, self._warn, offline=offline)
            return self._opened[key]

    def close(self, *, wait: bool = True) -> None:
        """Close all; ``wait`` says whether blobs that are still being sent to a bucket are waited for."""
        for cache in self._opened.values():
            if cache:
                cache.close(wait=wait)


@contextlib.contextmanager
def open_spec_blob_cache(spec: Spec, warn: Callable[[str], object]) -> Iterator[BlobCache | None]:
    """Open the blob cache of an image for the block. After an error, nothing that is still being sent is waited for."""
    caches = BlobCaches(warn)
    try:
        yield caches.find(spec)
    except BaseException:
        caches.close(wait=False)
        raise
    caches.close()
