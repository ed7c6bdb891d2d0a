"""The task of making one layer, and its result: small values that go to a worker and come back.

Invariant: a task holds no credentials and no bytes of a layer, and it can be done any number of times, by any worker.
"""

from __future__ import annotations

from dataclasses import dataclass

from lamina.core.names import Digest, StorePath
from lamina.fleet.blob_homes import BlobHome
from lamina.fleet.fingerprint import Fingerprint
from lamina.inputs.spec import StoreSpec
from lamina.layer_cache.encoding import make_claim_key
from lamina.layer_cache.key import LayerInputs
from lamina.system.transfer import BlobInfo

LayerId = tuple[Digest, str]
"""Layers of a batch with the same layer key and the same compression are one layer."""


@dataclass(frozen=True, slots=True)
class CachePlace:
    """Where a worker finds a cache.

    Attributes:
        place: a file, a folder or a URL; None for no cache.
        local: what is in front of a URL, on the machine of the worker; None for none.
    """

    place: str | None = None
    local: str | None = None


@dataclass(frozen=True, slots=True)
class PathSources:
    """Where a worker reads store paths.

    Attributes:
        stores: the stores, which are asked in order.
        embedded_store: the folder that keeps what binary caches send; None for a temporary one.
    """

    stores: StoreSpec
    embedded_store: str | None = None


@dataclass(frozen=True, slots=True)
class LayerTask:
    """A layer to make.

    Attributes:
        inputs: its store paths with their NAR hashes and sizes, the owner of its files, and their modification time.
        compression: how it is compressed, such as ``gzip:2``.
        sources: where its store paths come from.
        home: where its blob goes.
        fingerprint: the versions that the worker must have.
        layer_cache: where the worker looks it up, and writes what it learnt.
        blob_cache: where the worker finds and keeps layers that are compressed.
        offline: whether the caches may send no request.
        verify: whether it is made even if the layer cache knows it, and compared.
        batch: 32 hexadecimal digits that name the batch, in whose name the worker claims the layer in the layer cache;
            empty for no claim.
    """

    inputs: LayerInputs
    compression: str
    sources: PathSources
    home: BlobHome
    fingerprint: Fingerprint
    layer_cache: CachePlace = CachePlace()
    blob_cache: CachePlace = CachePlace()
    offline: bool = False
    verify: bool = False
    batch: str = ""

    @property
    def id(self) -> LayerId:
        """The layer key and the compression."""
        return self.inputs.key, self.compression

    @property
    def claim_key(self) -> bytes:
        """The key of the claim to the layer, which differs between places for its blob."""
        return make_claim_key(self.inputs.key, self.compression, repr(self.home))

    @property
    def nar_size(self) -> int:
        """The size of the NARs of its store paths in bytes."""
        return sum(size for _, _, size in self.inputs.contents)

    @property
    def paths(self) -> tuple[StorePath, ...]:
        """Its store paths, in packing order."""
        return self.inputs.paths


@dataclass(frozen=True, slots=True)
class LayerResult:
    """A layer whose blob is in its home.

    Attributes:
        plain: the digest and size of the uncompressed tar.
        blob: the digest and size of the blob.
        home: where the blob is.
        is_made: whether it was packed for this batch; otherwise its home or the blob cache had it.
        bytes_sent: how many bytes were written to its home.
        seconds: how long that took.
        worker: the name of the worker; empty if no worker was needed.
        warnings: messages about the caches of the worker.
    """

    plain: BlobInfo
    blob: BlobInfo
    home: BlobHome
    is_made: bool
    bytes_sent: int = 0
    seconds: float = 0.0
    worker: str = ""
    warnings: tuple[str, ...] = ()
