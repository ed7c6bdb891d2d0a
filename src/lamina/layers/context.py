"""The build context, and what is known of a layer before and after it is packed.

Invariant: whenever a layer's bytes are hashed, the digest is compared with the expected one and, with ``verify``, with
the cached one. A cached digest is used without hashing only if ``verify`` is off.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from lamina.errors import IntegrityError
from lamina.layer_cache.cache import LayerCache, NullLayerCache
from lamina.layer_cache.key import LayerInputs
from lamina.layers.layer import Layer, LayerSource
from lamina.system.transfer import BlobInfo, TransferBuffers

# Below this many bytes, starting worker processes takes longer than they save.
MIN_PARALLEL_SIZE = 64 << 20


@dataclass(frozen=True, slots=True)
class BuildContext:
    """The layer cache and the settings that layers are made with.

    Args:
        layer_cache: What earlier runs learnt about layers.
        jobs: The number of processors to use.
        verify: Whether to hash layers that the layer cache knows, and to compare the result.
        min_parallel_size: The number of bytes to be packed from which on worker processes are started.
        buffers: The buffers through which layers are written.
    """

    layer_cache: LayerCache = field(default_factory=NullLayerCache)
    jobs: int = 1
    verify: bool = False
    min_parallel_size: int = MIN_PARALLEL_SIZE
    buffers: TransferBuffers = field(default_factory=TransferBuffers)

    def worker_count(self, size: int, limit: int) -> int:
        """Return how many worker processes to start for ``size`` bytes, up to ``limit``; 0 for none."""
        return min(self.jobs, limit) if self.jobs > 1 and size >= self.min_parallel_size else 0


@dataclass(frozen=True, slots=True)
class LayerState:
    """What is known about layer ``number``, counted from 1.

    ``cached`` is the digest and size of its tar according to the layer cache; None if they are not there.
    """

    number: int
    source: LayerSource
    context: BuildContext
    key: LayerInputs | None
    cached: BlobInfo | None

    @classmethod
    def find(cls, number: int, source: LayerSource, context: BuildContext) -> LayerState:
        """Look the layer up in the layer cache."""
        key = source.key
        return cls(number, source, context, key, context.layer_cache.get_layer(key) if key else None)

    @property
    def known(self) -> BlobInfo | None:
        """The digest and size of the layer's tar; None if it has to be hashed."""
        return None if self.context.verify else self.cached

    def finish(self, blob_info: BlobInfo) -> Layer:
        """Record the digest and size of the layer's tar in the layer cache and return the layer.

        Raises `IntegrityError` if the digest is not the one that the source expects, or, with ``verify``, not the one
        in the layer cache.
        """
        expected_diff_id = self.source.expected_diff_id
        if expected_diff_id not in (None, blob_info.digest):
            raise IntegrityError(f"layer {self.number}", blob_info.digest, expected_diff_id)
        if self.key and blob_info != self.cached:
            self._put(self.key, blob_info)
        return Layer(blob_info.digest, blob_info.size, self.source.paths)

    def _put(self, key: LayerInputs, blob_info: BlobInfo) -> None:
        if self.context.verify and self.cached:
            self.context.layer_cache.remove_layer(key)
            raise IntegrityError(
                f"layer {self.number}",
                blob_info.digest,
                f"{self.cached.digest}, as the layer cache has it",
                hint="run it again: what was known of the layer is forgotten; a store path may be damaged",
            )
        self.context.layer_cache.put_layer(key, blob_info)
