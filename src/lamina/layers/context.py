"""What is known of a layer before it is packed, and what is learnt of it afterwards.

Invariant: a layer is what its bytes are: a digest that was promised or remembered is compared with theirs wherever they
are hashed, and is taken for theirs only where the layer cache vouches for it and nobody asked to verify.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from lamina.errors import IntegrityError
from lamina.layer_cache.cache import LayerCache, NullLayerCache
from lamina.layer_cache.key import LayerInputs
from lamina.layers.layer import FinishedLayer, Layer, LayerSource, StoreLayer
from lamina.system.transfer import BlobInfo

# Below this a crew takes longer to come than to be done without.
MIN_PARALLEL_SIZE = 64 << 20
# What a store path is taken to be where nobody has said how large it is.
_UNKNOWN_PATH_SIZE = 8 << 20


@dataclass(frozen=True, slots=True)
class BuildContext:
    """With what layers are made: the layer cache, how many processors, and whether what the layer cache knows is to be
    found out anew. An image is ``min_parallel_size`` bytes at least before other processes help.
    """

    layer_cache: LayerCache = field(default_factory=NullLayerCache)
    jobs: int = 1
    verify: bool = False
    min_parallel_size: int = MIN_PARALLEL_SIZE

    def worker_count(self, size: int, limit: int) -> int:
        """How many other processes are to help with ``size`` bytes, at ``limit`` so many; 0 for none."""
        return min(self.jobs, limit) if self.jobs > 1 and size >= self.min_parallel_size else 0


class LayerState:
    """Layer ``number``, counted from 1. ``known`` is what it is, None where that has to be found out."""

    def __init__(self, number: int, source: LayerSource, context: BuildContext) -> None:
        self.number = number
        self.source = source
        self._context = context
        self._inputs = source.inputs if isinstance(source, StoreLayer) else None
        self._cached = context.layer_cache.get_layer(self._inputs) if self._inputs else None
        self.known = None if context.verify else self._cached

    @property
    def estimated_size(self) -> int:
        """About how many bytes it has."""
        match self.source:
            case StoreLayer(plan=plan):
                return plan.nar_size if plan.nars else _UNKNOWN_PATH_SIZE * len(plan.paths)
            case FinishedLayer(tar=tar):
                return tar.length
        return 0

    def finish(self, blob_info: BlobInfo) -> Layer:
        """The layer, which turned out to be ``blob_info``; the layer cache learns it.

        Raises `IntegrityError` where it is not what it promised to be, or, with ``verify``, what the layer cache has.
        """
        expected_diff_id = self.source.expected_diff_id
        if expected_diff_id not in (None, blob_info.digest):
            raise IntegrityError(f"layer {self.number}: got {blob_info.digest}, expected {expected_diff_id}")
        if self._inputs and blob_info != self._cached:
            self._put(self._inputs, blob_info)
        return Layer(blob_info.digest, blob_info.size, self.source.paths)

    def _put(self, inputs: LayerInputs, blob_info: BlobInfo) -> None:
        if self._context.verify and self._cached:
            self._context.layer_cache.remove_layer(inputs)
            raise IntegrityError(
                f"layer {self.number}: got {blob_info.digest}, "
                f"expected {self._cached.digest}, as the layer cache has it",
                hint="run it again: what was known of the layer is forgotten; a store path may be damaged",
            )
        self._context.layer_cache.put_layer(inputs, blob_info)
