"""Open the layer cache of a run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from lamina.layer_cache.cache import LayerCache, NullLayerCache


@contextlib.contextmanager
def open_layer_cache(file: str | None, warnings: list[str]) -> Iterator[LayerCache]:
    """Open the layer cache in ``file`` for the block, or none for None; add each warning about it once."""

    def warn(text: str) -> None:
        if text not in warnings:
            warnings.append(text)

    with LayerCache.open(Path(file), warn) if file else NullLayerCache() as layer_cache:
        yield layer_cache
