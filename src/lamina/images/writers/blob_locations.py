"""Where the blobs of a push are: which repositories have them, and from which others they can be mounted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from threading import RLock

from lamina.core.names import Digest
from lamina.core.progress import MOUNTED, REUSED
from lamina.images.registry_destination import RegistryDestination, TargetRepository
from lamina.layers.layer import StoredBlob
from lamina.registry.blobs import find_blob
from lamina.registry.uploads import UploadSession, mount_blob


@dataclass(frozen=True, slots=True)
class LocatedBlob:
    """Where a blob is.

    Attributes:
        present: the repositories that have it.
        missing: those that lack it, each with the upload session that the registry opened instead of mounting it.
        is_mounted: whether it was mounted in one of ``present``.
    """

    present: tuple[TargetRepository, ...]
    missing: tuple[tuple[TargetRepository, UploadSession | None], ...]
    is_mounted: bool = False

    @property
    def outcome(self) -> str:
        """The word for how the blob came to where it is."""
        return MOUNTED if self.is_mounted else REUSED


class BlobLocations:
    """Asks the repositories of a push for each blob once, and mounts blobs. Its methods may be called by any thread."""

    def __init__(self, destination: RegistryDestination) -> None:
        self._destination = destination
        self._lock = RLock()  # guards everything below
        self._located: dict[Digest, LocatedBlob] = {}
        self._owners: dict[Digest, str] = {}
        self._may_mount = True

    def add_owners(self, stored: Iterable[StoredBlob]) -> None:
        """Remember which repositories have these blobs of other images, so that they can be mounted."""
        with self._lock:
            self._owners.update((blob.descriptor.digest, blob.repository) for blob in stored if blob.repository)

    def find(self, digest: Digest) -> LocatedBlob:
        """Return where a blob is, after it was mounted where that is possible. Nothing is asked twice."""
        with self._lock:
            known = self._located.get(digest)
        if known:
            return known
        present: list[TargetRepository] = []
        missing: list[tuple[TargetRepository, UploadSession | None]] = []
        is_mounted = False
        for target in self._destination.repositories:
            succeeded, session = self._mount_first(target, digest)
            is_mounted |= succeeded
            if succeeded or find_blob(target.connection, digest):
                present.append(target)
            else:
                missing.append((target, session))
        for target, opened in tuple(missing):
            succeeded, session = (False, opened) if opened else self.mount(target, digest, present)
            missing.remove((target, opened))
            if succeeded:
                present.append(target)
                is_mounted = True
            else:
                missing.append((target, session))
        located = LocatedBlob(tuple(present), tuple(missing), is_mounted)
        with self._lock:
            self._located[digest] = located
        return located

    def mount(
        self, target: TargetRepository, digest: Digest, present: Sequence[TargetRepository]
    ) -> tuple[bool, UploadSession | None]:
        """Mount a blob into ``target``, from one of ``present`` or another repository that is known to have it.

        Returns:
            Whether it was mounted; if not, the upload session that the registry opened instead, or None.

        """
        source = self._find_source(target, digest, present)
        session = mount_blob(target.connection, digest, source) if source else None
        return bool(source) and session is None, session

    def _mount_first(self, target: TargetRepository, digest: Digest) -> tuple[bool, UploadSession | None]:
        """Mount a blob that another repository has into one that has no such image yet, without asking for it first.

        It is very likely missing there, so that saves a request for each blob of a new image.
        """
        return (False, None) if target.earlier else self.mount(target, digest, ())

    def put(self, digest: Digest) -> None:
        """Remember that all repositories have a blob now."""
        with self._lock:
            self._located[digest] = LocatedBlob(self._destination.repositories, ())

    def forget(self) -> None:
        """Ask for all blobs again from now on, and mount none."""
        with self._lock:
            self._located.clear()
            self._may_mount = False

    def _find_source(self, target: TargetRepository, digest: Digest, present: Sequence[TargetRepository]) -> str:
        """Return another repository of the same registry that has the blob; an empty text if none is known."""
        with self._lock:
            may_mount, owner = self._may_mount, self._owners.get(digest, "")
        if not may_mount:
            return ""
        neighbours = [other.name for other in present if other.registry == target.registry]
        registry, _, name = owner.partition("/")
        stated = [name] if registry == target.registry else []
        listed = self._destination.find_sources(target.registry, digest)
        return next((other for other in (*neighbours, *stated, *listed) if other != target.name), "")
