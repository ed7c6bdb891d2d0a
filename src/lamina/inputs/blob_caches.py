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
    from lamina.layer_cache.pause import Pause


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
        return self.find_at(spec.blob_cache, spec.local_blob_cache, offline=spec.offline)

    def find_at(
        self, place: str | None, local: str | None, *, offline: bool = False, pause: Pause | None = None
    ) -> BlobCache | None:
        """Return the blob cache at a place; the arguments, the result and the errors are those of `make_blob_cache`."""
        key = (place, local, offline)
        with self._lock:
            if key not in self._opened:
                self._opened[key] = make_blob_cache(place, local, self._warn, offline=offline, pause=pause)
            return self._opened[key]

    def close(self, *, wait: bool = True) -> None:
        """Close all; ``wait`` says whether blobs that are still being sent to a bucket are waited for."""
        for cache in self._opened.values():
            if cache:
                cache.close(wait=wait)


def open_spec_blob_cache(
    spec: Spec, warn: Callable[[str], object]
) -> contextlib.AbstractContextManager[BlobCache | None]:
    """Open the blob cache of an image for a block, as `open_blob_cache` does."""
    return open_blob_cache(spec.blob_cache, spec.local_blob_cache, warn, offline=spec.offline)


@contextlib.contextmanager
def open_blob_cache(
    place: str | None,
    local: str | None,
    warn: Callable[[str], object],
    *,
    offline: bool = False,
    pause: Pause | None = None,
) -> Iterator[BlobCache | None]:
    """Open a blob cache for the block; the arguments are those of `make_blob_cache`.

    After an error, nothing that is still being sent is waited for.
    """
    caches = BlobCaches(warn)
    try:
        yield caches.find_at(place, local, offline=offline, pause=pause)
    except BaseException:
        caches.close(wait=False)
        raise
    caches.close()
