"""The plan of a layer: its paths, in the order in which they are packed.

Equal plans from the same store are packed to equal bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lamina.core.names import Digest, StorePath
from lamina.core.pathinfo import PathInfo


@dataclass(frozen=True, slots=True)
class LayerPlan:
    """A store layer before any content is read: its paths in packing order.

    ``reason`` explains to the user why these paths share a layer. ``nars`` holds the hash and size in bytes of each
    path's NAR, in the same order; it is empty if no store was queried.
    """

    paths: tuple[StorePath, ...]
    reason: str = ""
    nars: tuple[tuple[Digest, int], ...] = ()

    @classmethod
    def of(cls, infos: Iterable[PathInfo], reason: str) -> LayerPlan:
        """Plan a layer of ``infos``, in their order."""
        items = tuple(infos)
        nars = tuple((info.nar_hash, info.nar_size) for info in items)
        return cls(tuple(info.path for info in items), reason, nars)

    @property
    def nar_size(self) -> int:
        """The sum of the NAR sizes in bytes, close to the size of the layer; 0 if no store was queried."""
        return sum(size for _, size in self.nars)
