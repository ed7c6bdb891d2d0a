"""Serve one image on a loopback address of this machine, for the one client that gets its password.

Source of the address: docker, podman and containerd use plain HTTP for registries in 127.0.0.0/8 without being asked.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from threading import RLock

from lamina.core.names import Digest
from lamina.formats.referrers import Referrer
from lamina.server.asgi import RegistryApplication
from lamina.server.guards import AccountGuard
from lamina.server.http_messages import Content
from lamina.server.metrics import AnsweredRequest, OnAnswer
from lamina.server.repositories import Manifest
from lamina.server.running import RegistryServer, listen
from lamina.server.served_image import ServedImage

REPOSITORY, TAG, USER = "lamina/image", "latest", "lamina"
_HOST = "127.0.0.1"
_PASSWORD_BYTES = 24


@dataclass(frozen=True, slots=True)
class LoopbackAddress:
    """Where the image is, and the password for the user `USER`.

    Attributes:
        host: the address, ``127.0.0.1:PORT``.
        password: a random password that no other server has.
    """

    host: str
    password: str = field(repr=False)


class Traffic:
    """Counts what a server sent. It is complete once the server has ended."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._requests = 0
        self._size = 0

    def count(self, answered: AnsweredRequest) -> None:
        """Count an answer."""
        with self._lock:
            self._requests += 1
            self._size += answered.size

    @property
    def requests(self) -> int:
        """The number of requests that were answered."""
        return self._requests

    @property
    def size(self) -> int:
        """The number of bytes in the bodies of all answers."""
        return self._size


class _SingleImage:
    """The `Repositories` that have one image."""

    def __init__(self, image: ServedImage) -> None:
        self._image = image

    def is_ready(self, repository: str, target: str | Digest) -> bool:
        """Return that the image is made."""
        return True

    def find_manifest(self, repository: str, target: str | Digest) -> Manifest | None:
        """Return the manifest with the tag `TAG`, or with a digest."""
        if repository != REPOSITORY:
            return None
        if isinstance(target, str):
            return self._image.manifest if target == TAG else None
        return self._image.manifests.get(target)

    def find_blob(self, repository: str, digest: Digest) -> Content | None:
        """Return a blob of the image."""
        return self._image.blobs.get(digest) if repository == REPOSITORY else None

    def list_tags(self, repository: str) -> Sequence[str] | None:
        """Return the only tag."""
        return (TAG,) if repository == REPOSITORY else None

    def list_referrers(self, repository: str, digest: Digest) -> Sequence[Referrer]:
        """Return no referrers."""
        return ()


@contextlib.contextmanager
def serve_on_loopback(image: ServedImage, on_answer: OnAnswer) -> Iterator[LoopbackAddress]:
    """Serve ``image`` as `REPOSITORY` with the tag `TAG` for the block, on a free port.

    Args:
        image: the image.
        on_answer: is called with each answer after it was sent, in another thread.

    Raises:
        OutputError: no port is free.

    """
    password = secrets.token_urlsafe(_PASSWORD_BYTES)
    application = RegistryApplication(_SingleImage(image), AccountGuard(USER, password), on_answer=on_answer)
    with contextlib.closing(application), listen(_HOST, 0) as listening:
        _, port = listening.getsockname()
        with RegistryServer(application).run_in_thread(listening):
            yield LoopbackAddress(f"{_HOST}:{port}", password)
