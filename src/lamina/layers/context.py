"""What is known of a layer before it is packed, and what is learnt of it afterwards.

Invariant: a layer is what its bytes are: a digest that was promised or remembered is compared with theirs wherever they
are hashed, and is taken for theirs only where the ledger vouches for it and nobody asked to verify.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from lamina.errors import IntegrityError
from lamina.layer_cache.cache import Ledger, Oblivion
from lamina.layer_cache.key import Recipe
from lamina.layers.layer import FinishedLayer, Layer, LayerSource, StoreLayer
from lamina.system.transfer import Measure

# Below this a crew takes longer to come than to be done without.
ALONE = 64 << 20
# What a store path is taken to be where nobody has said how large it is.
_UNKNOWN = 8 << 20


@dataclass(frozen=True, slots=True)
class Workshop:
    """With what layers are made: the ledger, how many processors, and whether what the ledger knows is to be found
    out anew. An image is ``alone`` bytes at least before other processes help.
    """

    ledger: Ledger = field(default_factory=Oblivion)
    jobs: int = 1
    verify: bool = False
    alone: int = ALONE

    def crew_size(self, work: int, most: int) -> int:
        """How many other processes are to help with ``work`` bytes, at ``most`` so many; 0 for none."""
        return min(self.jobs, most) if self.jobs > 1 and work >= self.alone else 0


class Standing:
    """Layer ``number``, counted from 1. ``known`` is what it is, None where that has to be found out."""

    def __init__(self, number: int, source: LayerSource, shop: Workshop) -> None:
        self.number = number
        self.source = source
        self._shop = shop
        self._recipe = source.recipe if isinstance(source, StoreLayer) else None
        self._remembered = shop.ledger.layer(self._recipe) if self._recipe else None
        self.known = None if shop.verify else self._remembered

    @property
    def weight(self) -> int:
        """About how many bytes it has."""
        match self.source:
            case StoreLayer(plan=plan):
                return plan.nar_size if plan.nars else _UNKNOWN * len(plan.paths)
            case FinishedLayer(tar=tar):
                return tar.length
        return 0

    def settled(self, found: Measure) -> Layer:
        """The layer, which turned out to be ``found``; the ledger learns it.

        Raises `IntegrityError` where it is not what it promised to be, or, with ``verify``, what the ledger has.
        """
        promised = self.source.promised
        if promised not in (None, found.digest):
            raise IntegrityError(f"layer {self.number}: got {found.digest}, expected {promised}")
        if self._recipe and found != self._remembered:
            self._learn(self._recipe, found)
        return Layer(found.digest, found.size, self.source.paths)

    def _learn(self, recipe: Recipe, found: Measure) -> None:
        if self._shop.verify and self._remembered:
            self._shop.ledger.forget_layer(recipe)
            raise IntegrityError(
                f"layer {self.number}: got {found.digest}, expected {self._remembered.digest}, as the ledger has it",
                hint="run it again: what was known of the layer is forgotten; a store path may be damaged",
            )
        self._shop.ledger.learn_layer(recipe, found)
