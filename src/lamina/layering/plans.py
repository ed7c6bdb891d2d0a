"""What a strategy gives: the paths of a layer, in the order in which they are packed.

Invariant: a `LayerPlan` is a value; equal plans pack to equal bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lamina.core.names import Digest, StorePath
from lamina.core.pathinfo import PathInfo


@dataclass(frozen=True, slots=True)
class LayerPlan:
    """One store layer before anything is read: its paths in packing order.

    ``reason`` is a person's answer to "why these?"; ``nars`` are hash and size in bytes of each path's NAR, in their
    order, and none where nobody asked a store.
    """

    paths: tuple[StorePath, ...]
    reason: str = ""
    nars: tuple[tuple[Digest, int], ...] = ()

    @classmethod
    def of(cls, infos: Iterable[PathInfo], reason: str) -> LayerPlan:
        """The layer of ``infos``, in their order."""
        taken = tuple(infos)
        nars = tuple((info.nar_hash, info.nar_size) for info in taken)
        return cls(tuple(info.path for info in taken), reason, nars)

    @property
    def nar_size(self) -> int:
        """The sum of the NARs in bytes, close to what the layer will take; 0 where nobody asked a store."""
        return sum(size for _, size in self.nars)
