"""What a strategy gives: the paths of a layer, in the order in which they are packed.

Invariant: a `LayerPlan` is a value; equal plans pack to equal bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lamina.names import StorePath
from lamina.pathinfo import PathInfo


@dataclass(frozen=True, slots=True)
class LayerPlan:
    """One store layer before anything is read: its paths in packing order.

    ``reason`` is a person's answer to "why these?"; ``nar_size`` is the sum of their NARs in bytes, close to what the
    layer will take, and 0 where nobody asked a store.
    """

    paths: tuple[StorePath, ...]
    reason: str = ""
    nar_size: int = 0

    @classmethod
    def of(cls, infos: Iterable[PathInfo], reason: str) -> LayerPlan:
        """The layer of ``infos``, in their order."""
        taken = tuple(infos)
        return cls(tuple(info.path for info in taken), reason, sum(info.nar_size for info in taken))
