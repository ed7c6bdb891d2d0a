"""The build context, and what is known about a layer before and after it is packed.

Invariant: whenever a layer's bytes are hashed, the digest is compared with the expected digest and, with ``verify``,
with the cached one. A cached digest is used without hashing only if ``verify`` is off.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from lamina.core.progress import FETCHED
from lamina.errors import IntegrityError
from lamina.layer_cache.cache import LayerCache, NullLayerCache
from lamina.layer_cache.key import LayerInputs
from lamina.layers.layer import Layer, LayerSource
from lamina.system.transfer import BlobInfo, TransferBuffers

if TYPE_CHECKING:
    from lamina.compression.compressors import LayerCompression  # imported on demand: most runs never compress

# Below this many bytes, starting worker processes takes longer than they save.
MIN_PARALLEL_SIZE = 64 << 20

# Where a digest comes from that differs from that of the bytes, and the hint.
_RECORDED = (
    "the digest in the layer cache",
    "run the command again, as the layer was removed from the cache; a store path may be damaged",
)
_STATED = (
    "the digest that an image in the registry states",
    "the image or a store path is damaged; --no-cache-from ignores what the image states",
)


class LayerBlobs(Protocol):
    """Keeps compressed layers of earlier runs; safe for many threads."""

    def take(self, blob: BlobInfo, target: Path) -> bool:
        """Write a blob, which has been hashed, to the file ``target``, and return whether it is there.

        Raises `OutputError` if ``target`` cannot be written.
        """

    def add(self, blob: BlobInfo, file: Path) -> None:
        """Keep the blob in ``file``, which is not changed afterwards but may be deleted."""


@dataclass(frozen=True, slots=True)
class BuildContext:
    """The layer cache and the settings for making layers.

    Args:
        layer_cache: The digests, sizes and listings of layers from earlier runs.
        jobs: The number of processors to use.
        verify: Whether to hash layers that are in the layer cache too, and to compare the digests.
        min_parallel_size: The smallest number of bytes for which worker processes are started.
        buffers: The buffers for writing layers.
        blobs: The compressed layers of earlier runs; None to keep none.
    """

    layer_cache: LayerCache = field(default_factory=NullLayerCache)
    jobs: int = 1
    verify: bool = False
    min_parallel_size: int = MIN_PARALLEL_SIZE
    buffers: TransferBuffers = field(default_factory=TransferBuffers)
    blobs: LayerBlobs | None = None

    def worker_count(self, size: int, limit: int) -> int:
        """Return how many worker processes to start for ``size`` bytes, up to ``limit``; 0 for none."""
        return min(self.jobs, limit) if self.jobs > 1 and size >= self.min_parallel_size else 0

    def find_blobs(self, compression: LayerCompression) -> LayerBlobs | None:
        """Return where layers with ``compression`` are kept; None if they are not.

        Uncompressed layers are not kept: packing them takes no longer than copying and hashing them.
        """
        return None if compression.is_none else self.blobs


@dataclass(frozen=True, slots=True)
class LayerState:
    """The facts that are known about layer ``number``, counted from 1.

    ``cached`` is the digest and size of its tar from the layer cache, or None if the layer is not in the cache.
    ``outcome`` is the word of `lamina.core.progress` for how its bytes are made, if they have to be made.
    """

    number: int
    source: LayerSource
    context: BuildContext
    key: LayerInputs | None
    cached: BlobInfo | None
    outcome: str

    @classmethod
    def find(cls, number: int, source: LayerSource, context: BuildContext) -> LayerState:
        """Look the layer up in the layer cache."""
        key = source.key
        cached = context.layer_cache.get_layer(key) if key else None
        return cls(number, source, context, key, cached, source.outcome if source.is_local else FETCHED)

    @classmethod
    def find_all(
        cls, sources: Sequence[LayerSource], context: BuildContext, numbers: Iterable[int] | None = None
    ) -> list[LayerState]:
        """Look many layers up in the layer cache.

        Args:
            sources: The layers.
            context: The layer cache.
            numbers: Their numbers; from 1 on by default.
        """
        context.layer_cache.look_up_layers(key for source in sources if (key := source.key))
        return [
            cls.find(number, source, context)
            for number, source in zip(numbers or range(1, len(sources) + 1), sources, strict=True)
        ]

    @property
    def known(self) -> BlobInfo | None:
        """The digest and size of the layer's tar, or None if the layer has to be hashed."""
        return None if self.context.verify else self.cached

    def finish(self, blob_info: BlobInfo) -> Layer:
        """Record the digest and size of the layer's tar, which was hashed, in the layer cache and return the layer.

        Raises `IntegrityError` if the digest is not the one that the source expects, or, with ``verify``, not the one
        in the layer cache.
        """
        expected_diff_id = self.source.expected_diff_id
        if expected_diff_id not in (None, blob_info.digest):
            raise IntegrityError(f"layer {self.number}", blob_info.digest, expected_diff_id)
        if self.key:
            self._put(self.key, blob_info)
        return Layer(blob_info.digest, blob_info.size, self.source.paths)

    def _put(self, key: LayerInputs, blob_info: BlobInfo) -> None:
        layer_cache = self.context.layer_cache
        is_stated = layer_cache.is_stated(key)
        if blob_info == self.cached and not is_stated:
            return
        if self.context.verify and self.cached and blob_info != self.cached:
            layer_cache.remove_layer(key)
            place, hint = _STATED if is_stated else _RECORDED
            raise IntegrityError(f"layer {self.number}", blob_info.digest, f"{self.cached.digest}, {place}", hint=hint)
        layer_cache.put_layer(key, blob_info)
