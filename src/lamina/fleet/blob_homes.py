"""The home of a layer: the one place that a worker writes its blob to.

The other images of a batch take the blob from there: a registry mounts it in their repositories, and a layout has it
for all its images.
"""

from __future__ import annotations

import contextlib
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lamina.core.names import Digest
from lamina.formats.oci import Descriptor
from lamina.formats.registry_references import RegistryReference
from lamina.images.readers.registry_image import skip_bytes
from lamina.images.registry_destination import RegistryDestination, TargetRepository
from lamina.images.writers.layout_blobs import open_layout
from lamina.images.writers.push_progress import PushProgress
from lamina.images.writers.registry_blobs import RegistryBlobs
from lamina.layers.blob_writer import BlobStore
from lamina.layers.layer import StoredBlob
from lamina.layers.temporary_blobs import explain_temporary_files
from lamina.registry.blobs import find_blob, read_blob
from lamina.registry.open import open_repository
from lamina.system.progress_reporter import ProgressReporter
from lamina.system.transfer import BlobInfo

_EMPTY = Digest(hashlib.sha256().digest())


class BlobHome(ABC):
    """A place for blobs. It is a value that another process or machine can use too, and it holds no credentials."""

    __slots__ = ()

    @abstractmethod
    def open_blobs(self) -> contextlib.AbstractContextManager[BlobStore]:
        """Open the place for a block. All blobs that were committed are stored when the block ends.

        Raises:
            RegistryError: the registry failed.
            AuthError: the registry refuses the credentials, or wants some.
            OutputError: the folder cannot be written.

        """

    def check(self) -> None:  # noqa: B027 - a folder is checked when it is opened
        """Find out whether the place can be reached and accepts the credentials. Raises what `open_blobs` raises."""

    def share_blob(self, descriptor: Descriptor, plain: BlobInfo) -> StoredBlob | None:
        """Return a blob of this place, for the writer of an image that is to have it too.

        Args:
            descriptor: the media type, the digest and the size of the blob.
            plain: the digest and size of the uncompressed tar.

        Returns:
            The blob, which the writer mounts or copies; None if the writer finds it by its digest.

        """
        return None


@dataclass(frozen=True, slots=True)
class RegistryHome(BlobHome):
    """A repository of a registry.

    Every process uses the credentials that docker and podman have on its own machine.

    Attributes:
        reference: names the repository; its tag does not matter.
        insecure: whether plain HTTP is allowed.
    """

    reference: RegistryReference
    insecure: bool = False

    @contextlib.contextmanager
    def open_blobs(self) -> Iterator[BlobStore]:
        """Connect to the repository for the block."""
        with open_repository(self.reference, insecure=self.insecure, is_writer=True) as connection:
            target = TargetRepository(connection, (self.reference,), {})
            destination = RegistryDestination((self.reference,), (target,), (), ())
            progress = PushProgress(ProgressReporter(None))
            with explain_temporary_files(), RegistryBlobs(destination, progress) as blobs:
                yield blobs
                blobs.finish()

    def check(self) -> None:
        """Ask the repository for a blob. It makes no difference whether the repository has it, or exists."""
        with open_repository(self.reference, insecure=self.insecure, is_writer=True) as connection:
            find_blob(connection, _EMPTY)

    def share_blob(self, descriptor: Descriptor, plain: BlobInfo) -> StoredBlob:
        """Return a blob of the repository. Repositories of the same registry mount it, and others copy it."""
        return StoredBlob(descriptor, plain, partial(self._read, descriptor), self.reference.name)

    def _read(self, descriptor: Descriptor, start: int) -> Iterator[bytes]:
        with open_repository(self.reference, insecure=self.insecure) as connection:
            yield from skip_bytes(read_blob(connection, descriptor.digest, descriptor.size), start)


@dataclass(frozen=True, slots=True)
class LayoutHome(BlobHome):
    """An OCI layout, in a folder that all workers share.

    Attributes:
        folder: the folder, as an absolute path.
    """

    folder: str

    @contextlib.contextmanager
    def open_blobs(self) -> Iterator[BlobStore]:
        """Open the layout for the block, in which no other process removes a blob of it."""
        with open_layout(Path(self.folder), verify=False) as blobs:
            yield blobs
