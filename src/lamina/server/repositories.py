"""The repositories of a registry, as the answers to requests need them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from lamina.core.names import Digest
from lamina.formats.referrers import Referrer
from lamina.server.http_messages import Content


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest or an index.

    Attributes:
        media_type: its media type.
        document: its bytes.
        digest: their digest.
    """

    media_type: str
    document: bytes
    digest: Digest

    @classmethod
    def of(cls, media_type: str, document: bytes) -> Manifest:
        """Return the manifest with these bytes."""
        return cls(media_type, document, Digest(hashlib.sha256(document).digest()))


class Repositories(Protocol):
    """The images that are served. All methods may be called from several threads at once.

    Each may raise `lamina.Error` if an image cannot be made, and `RequestRefused` if the client may not have it.
    """

    def is_ready(self, repository: str, target: str | Digest) -> bool:
        """Return whether no image has to be made to find a manifest or a blob with a tag or a digest.

        It takes only a moment, and raises nothing.
        """

    def find_manifest(self, repository: str, target: str | Digest) -> Manifest | None:
        """Return the manifest with a tag or a digest; None if the repository has none."""

    def find_blob(self, repository: str, digest: Digest) -> Content | None:
        """Return a blob of one of the images of a repository; None if none of them has it."""

    def list_tags(self, repository: str) -> Sequence[str] | None:
        """Return the tags of a repository in any order; None if there is no such repository."""

    def list_referrers(self, repository: str, digest: Digest) -> Sequence[Referrer]:
        """Return the manifests that name the manifest with this digest as their subject."""
