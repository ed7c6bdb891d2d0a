"""Layers as blobs: each written to a file of its own, unless it is there already.

Invariant: what a blob is does not depend on what the ledger knew or on how many processes worked, and one that is
there already was written whole.

There is no order to keep, so the layers of a large image are written side by side, each by a process that lists,
hashes and compresses it on the way: everything is read once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from lamina.compression.compressors import LayerCompression
from lamina.layer_cache.cache import Ledger
from lamina.layers import worker_tasks
from lamina.layers.context import Standing, Workshop
from lamina.layers.layer import FinishedLayer, Layer, LayerSource, StoreLayer
from lamina.layers.listings import Survey, surveyed
from lamina.layers.worker_tasks import Content
from lamina.system.locations import list_place
from lamina.system.transfer import Measure

if TYPE_CHECKING:  # a small image does without other processes
    from concurrent.futures import Future

    from lamina.layers.workers import Ask, Crew

# More would wait for the disk.
_MOST_WRITING, _MOST_COMPRESSING = 4, 32
_Found = tuple[Measure, Measure]
"""What a layer is, and what its blob is."""


class Shelf(Protocol):
    """Where blobs are kept."""

    def holds(self, blob: Measure) -> bool:
        """Whether the blob is there."""

    def begin(self) -> Path:
        """A new empty file, to become a blob. Raises `OutputError`."""

    def end(self, part: Path, blob: Measure) -> None:
        """What was begun is ``blob`` now. Raises `OutputError`."""


@dataclass(frozen=True, slots=True)
class Filed:
    """A layer, the blob that it lies in, and where it comes from."""

    layer: Layer
    blob: Measure
    source: LayerSource


class Filing:
    """The layers of an image from the lowest up, each on ``shelf`` when it comes; a context manager."""

    def __init__(
        self, sources: Sequence[LayerSource], shop: Workshop, compression: LayerCompression, shelf: Shelf
    ) -> None:
        self._shop = shop
        self._compression = compression
        self._shelf = shelf
        works = [_Work(Standing(number, source, shop), self._known) for number, source in enumerate(sources, 1)]
        missing = [work for work in works if not work.found]
        most = _MOST_WRITING if compression.is_none else _MOST_COMPRESSING
        helping = shop.crew_size(sum(work.standing.weight for work in missing), most)
        self._crew = _begun_crew(helping) if helping else None
        self._threads = max(1, shop.jobs // max(1, len(missing)))
        self._works = works

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._crew:
            self._crew.__exit__(kind, error, trace)

    def __iter__(self) -> Iterator[Filed]:
        """The layers. Raises what packing them raises, `OutputError`, and `IntegrityError` as `Standing.settled`."""
        if self._crew:
            for work in self._works:
                if not work.found:
                    self._begin(work, self._crew)
        for work in self._works:
            plain, blob = work.found or self._written(work)
            layer = work.standing.settled(plain)
            if work.survey:
                work.survey.learn()
            if blob != plain:
                self._shop.ledger.learn_compressed(plain.digest, self._compression.identity, blob)
            yield Filed(layer, blob, work.standing.source)

    def _known(self, standing: Standing) -> _Found | None:
        """What the layer is and what its blob, where that is there already."""
        plain = standing.known
        if plain is None:
            return None
        blob = plain
        if not self._compression.is_none:
            compressed = self._shop.ledger.compressed(plain.digest, self._compression.identity)
            if compressed is None:
                return None
            blob = compressed
        return (plain, blob) if self._shelf.holds(blob) else None

    def _begin(self, work: _Work, crew: Crew) -> None:
        """Has ``work`` done by the crew, where it can be: the largest first, so that none is left alone at the end, but
        those whose paths are still on their way as they come.
        """
        source = work.standing.source
        if isinstance(source, FinishedLayer):
            work.part = self._shelf.begin()
            task = partial(self._write_there, work.part, source.tar)
            work.coming = crew.submit(task, (0, -work.standing.weight))
        elif isinstance(source, StoreLayer) and source.place:
            work.part = self._shelf.begin()
            urgency = (0, -work.standing.weight) if source.is_here else (1, work.standing.number)
            work.coming = crew.submit(partial(self._list_there, work.part, work), urgency)

    def _list_there(self, part: Path, work: _Work, ask: Ask) -> _Found | None:
        survey = work.surveyed(self._shop.ledger)
        if survey is None:
            return None
        listed = survey.complete(worker_tasks.listings_in(ask(worker_tasks.listing_task(survey.missing))))
        return self._write_there(part, listed, ask) if listed else None

    def _write_there(self, part: Path, content: Content, ask: Ask) -> _Found:
        task = worker_tasks.blob_task(content, os.fsencode(part), self._compression, self._threads)
        plain, blob = worker_tasks.measures_in(ask(task))
        return plain, blob

    def _written(self, work: _Work) -> _Found:
        part = work.part or self._shelf.begin()
        found = (work.coming and work.coming.result()) or self._write_here(work, part)
        self._shelf.end(part, found[1])
        return found

    def _write_here(self, work: _Work, part: Path) -> _Found:
        survey = work.surveyed(self._shop.ledger) if not work.coming else None
        listed = survey.complete(map(list_place, survey.missing)) if survey else None
        packed = listed.pack() if listed else work.standing.source.pack()
        return worker_tasks.write_file(packed, os.fsencode(part), self._compression, self._shop.jobs)


def _begun_crew(size: int) -> Crew:
    from lamina.layers.workers import Crew

    return Crew(size)


class _Work:
    """One layer on its way; ``found`` is what it is where its blob is there already."""

    def __init__(self, standing: Standing, known: Callable[[Standing], _Found | None]) -> None:
        self.standing = standing
        self.found = known(standing)
        self.part: Path | None = None
        self.coming: Future[_Found | None] | None = None
        self.survey: Survey | None = None

    def surveyed(self, ledger: Ledger) -> Survey | None:
        """Its `survey` from now on, which asks the ledger for nothing; None where there is none."""
        source = self.standing.source
        self.survey = surveyed(source, ledger, anew=True) if isinstance(source, StoreLayer) else None
        return self.survey
