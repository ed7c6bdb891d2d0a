"""A `Progress` that records its calls."""

from __future__ import annotations

from typing import Any

from lamina.core.progress import Progress, ProgressItem, Work


class RecordedProgress(Progress):
    """Records each call as a tuple of its name, the item's number and the other values.

    Successive calls of ``advance`` for an item are one, with the sum of their bytes.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.works: list[Work] = []

    def begin(self, work: Work) -> None:
        self.works.append(work)
        self.calls.append(("begin", len(work.items)))

    def start(self, item: ProgressItem) -> None:
        self.calls.append(("start", item.number))

    def advance(self, item: ProgressItem, size: int) -> None:
        last = next((call for call in reversed(self.calls) if call[1:2] == (item.number,)), None)
        if last and last[0] == "advance":
            self.calls[self.calls.index(last)] = ("advance", item.number, last[2] + size)
        else:
            self.calls.append(("advance", item.number, size))

    def finish(self, item: ProgressItem, outcome: str, size: int) -> None:
        self.calls.append(("finish", item.number, outcome, size))

    def sum_up(self) -> dict[int, int]:
        """Return by how many bytes each item advanced, by its number."""
        sums: dict[int, int] = {}
        for call, *values in self.calls:
            if call == "advance":
                sums[values[0]] = sums.get(values[0], 0) + values[1]
        return sums

    def documents(self) -> None:
        self.calls.append(("documents",))

    def done(self) -> None:
        self.calls.append(("done",))
