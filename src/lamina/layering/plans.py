"""What a strategy gives: the paths of a layer, in the order in which they are packed.

Invariant: a `LayerPlan` is a value; equal plans pack to equal bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

from lamina.names import StorePath
from lamina.pathinfo import PathInfo


@dataclass(frozen=True, slots=True)
class LayerPlan:
    """One store layer before anything is read; ``reason`` is a person's answer to "why these?"."""

    infos: tuple[PathInfo, ...]
    reason: str

    @property
    def paths(self) -> tuple[StorePath, ...]:
        """The layer's paths in packing order."""
        return tuple(info.path for info in self.infos)

    @property
    def nar_size(self) -> int:
        """The sum of the NARs' sizes in bytes: close to what the layer will take."""
        return sum(info.nar_size for info in self.infos)
