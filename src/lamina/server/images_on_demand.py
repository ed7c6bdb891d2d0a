"""Repositories whose images are made when a client first asks for them.

Invariant: many clients that ask for one image cause one making, and no more than ``max_builds`` images are made at the
same time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from threading import RLock, Semaphore
from typing import Any, Protocol

from lamina.core.names import Digest
from lamina.formats.referrers import Referrer
from lamina.server.http_messages import Content
from lamina.server.repositories import Manifest
from lamina.server.served_image import ServedImage

MAX_IMAGES = 256
"""How many images are kept ready; the least recently used ones are made again when a client asks for them."""
MAX_AGE = 60.0
"""After how many seconds a tag is looked up again, because what it names may have changed."""

_Key = tuple[str, str]


class Catalog(Protocol):
    """Says which images there are, and makes them."""

    def list_tags(self, repository: str) -> Sequence[str] | None:
        """Return the tags of a repository; None if there is no such repository. It takes only a moment."""

    def make(self, repository: str, tag: str) -> ServedImage:
        """Make an image, with a tag that `list_tags` returns.

        Raises `lamina.Error` if that fails, and `RequestRefused` if the client may not have it.
        """


@dataclass(frozen=True, slots=True)
class _ReadyImage:
    """An image, and when it was made, as the clock says."""

    image: ServedImage
    made: float


class ImagesOnDemand:
    """The `Repositories` of a `Catalog`.

    Args:
        catalog: says which images there are, and makes them.
        max_builds: how many images are made at the same time.
        clock: returns the time in seconds; only differences count.
    """

    def __init__(self, catalog: Catalog, max_builds: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._catalog = catalog
        self._clock = clock
        self._builds = Semaphore(max_builds)
        self._lock = RLock()  # guards everything below
        self._tagged: dict[_Key, _ReadyImage] = {}
        self._images: dict[tuple[str, Digest], ServedImage] = {}  # the least recently used first
        self._building: dict[_Key, Future[ServedImage]] = {}

    def is_ready(self, repository: str, target: str | Digest) -> bool:
        """Return whether an image with a tag, or with a manifest or a blob of a digest, need not be made."""
        with self._lock:
            if isinstance(target, str):
                return self._find_fresh((repository, target)) is not None
            images = [image for key, image in self._images.items() if key[0] == repository]
        return any(target in image.manifests or target in image.blobs for image in images)

    def find_manifest(self, repository: str, target: str | Digest) -> Manifest | None:
        """Return the manifest with a tag or a digest, after making its image if it is not ready."""
        if isinstance(target, str):
            return self._find_tagged(repository, target).manifest if self._has(repository, target) else None
        for image in self._find_images(repository):
            if found := image.manifests.get(target):
                return found
        return None

    def find_blob(self, repository: str, digest: Digest) -> Content | None:
        """Return a blob of one of the images of a repository.

        Another process may have answered the request for the manifest. So all images of the repository are made before
        a blob counts as unknown.
        """
        for image in self._find_images(repository):
            if found := image.blobs.get(digest):
                return found
        return None

    def list_tags(self, repository: str) -> Sequence[str] | None:
        """Return the tags of a repository; no image is made for that."""
        return self._catalog.list_tags(repository)

    def list_referrers(self, repository: str, digest: Digest) -> Sequence[Referrer]:
        """Return no referrers, because images that are made on demand have none."""
        return ()

    def list_ready(self) -> Mapping[tuple[str, str], ServedImage]:
        """Return the images that were made lately, by repository and tag; no image is made for that."""
        with self._lock:
            return {key: ready.image for key, ready in self._tagged.items()}

    def _has(self, repository: str, tag: str) -> bool:
        return tag in (self._catalog.list_tags(repository) or ())

    def _find_images(self, repository: str) -> Iterator[ServedImage]:
        """Yield the images of a repository: those that are ready, and then the others, which are made."""
        with self._lock:
            keys = [key for key in self._images if key[0] == repository]
        for key in keys:
            with self._lock:
                image = self._images.pop(key, None)
                if image:
                    self._images[key] = image  # as the most recently used
            if image:
                yield image
        for tag in self._catalog.list_tags(repository) or ():
            yield self._find_tagged(repository, tag)

    def _find_tagged(self, repository: str, tag: str) -> ServedImage:
        """Return the image with a tag: the one that is ready, or the one that is being made, or a new one."""
        key = (repository, tag)
        with self._lock:
            if ready := self._find_fresh(key):
                return ready
            building = self._building.get(key)
            if building is None:
                own = self._building[key] = Future()
        if building is not None:
            return building.result()
        try:
            with self._builds:
                image = self._catalog.make(repository, tag)
        except BaseException as error:
            with self._lock:
                del self._building[key]
            own.set_exception(error)
            raise
        self._keep(key, image)
        own.set_result(image)
        return image

    def _find_fresh(self, key: _Key) -> ServedImage | None:
        """Return the image with a tag if it is ready, and the tag need not be looked up again."""
        ready = self._tagged.get(key)
        return ready.image if ready and self._clock() - ready.made < MAX_AGE else None

    def _keep(self, key: _Key, image: ServedImage) -> None:
        """Keep an image that was made, and drop the least recently used ones above the limit."""
        with self._lock:
            del self._building[key]
            self._tagged.pop(key, None)
            self._tagged[key] = _ReadyImage(image, self._clock())
            by_digest = (key[0], image.manifest.digest)
            self._images.pop(by_digest, None)
            self._images[by_digest] = image
            _drop_first(self._tagged)
            _drop_first(self._images)


def _drop_first(kept: dict[Any, Any]) -> None:
    while len(kept) > MAX_IMAGES:
        del kept[next(iter(kept))]
