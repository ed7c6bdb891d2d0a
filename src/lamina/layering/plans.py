"""The plan of a layer: its paths, in the order in which they are packed.

Equal plans from the same store are packed to equal bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lamina.core.labels import summarize_layer_paths
from lamina.core.names import Digest, StorePath
from lamina.core.pathinfo import PathInfo
from lamina.messages.sizes import format_size


@dataclass(frozen=True, slots=True)
class LayerPlan:
    """A store layer before any content is read.

    Attributes:
        paths: its store paths, in packing order.
        reason: why these paths share a layer, for people to read.
        nars: the hash and the size in bytes of each path's NAR, in the same order; empty if no store was queried.
        rate: the share of updates that change the layer, from 0 to 1; None if the strategy does not estimate it.
    """

    paths: tuple[StorePath, ...]
    reason: str = ""
    nars: tuple[tuple[Digest, int], ...] = ()
    rate: float | None = None

    def __repr__(self) -> str:
        paths = summarize_layer_paths(self.paths, [size for _, size in self.nars])
        return f"<LayerPlan {paths}: {format_size(self.nar_size)}>"

    @classmethod
    def of(cls, infos: Iterable[PathInfo], reason: str, rate: float | None = None) -> LayerPlan:
        """Plan a layer.

        Args:
            infos: the path infos of its store paths, in packing order.
            reason: why these paths share a layer, for people to read.
            rate: the share of updates that change the layer, from 0 to 1, if it is known.

        Returns:
            The plan, with the hash and the size of each path's NAR.

        """
        items = tuple(infos)
        nars = tuple((info.nar_hash, info.nar_size) for info in items)
        return cls(tuple(info.path for info in items), reason, nars, rate)

    @property
    def nar_size(self) -> int:
        """The sum of the NAR sizes in bytes, close to the size of the layer; 0 if no store was queried."""
        return sum(size for _, size in self.nars)
