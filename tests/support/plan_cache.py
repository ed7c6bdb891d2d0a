"""A plan cache in memory."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from lamina.core.names import Digest


@dataclass
class MemoryPlanCache:
    """The plans that were put, by their keys."""

    plans: dict[Digest, Sequence[int]] = field(default_factory=dict)

    def get_plan(self, key: Digest) -> Sequence[int] | None:
        return self.plans.get(key)

    def put_plan(self, key: Digest, layers: Sequence[int]) -> None:
        self.plans[key] = layers
