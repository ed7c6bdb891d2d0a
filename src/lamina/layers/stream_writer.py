"""Layers on their way out, in order: listed ahead, hashed beside, and written once.

Invariant: what a layer turns out to be does not depend on what the ledger knew, on how many processes worked, or on
which of them was done first; a layer is written as it was listed, or the run ends in `IntegrityError`.

A layer that the ledger knows is written and not hashed. Of the others, a large image's are hashed by other processes
while this one writes, a small image's by a thread. How far the others are ahead is bounded, in bytes of layers, so that
a file is hashed and written while it is still in memory, and in bytes of listings, which are what memory is needed for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self

from lamina.core.nodes import Extent
from lamina.errors import IntegrityError
from lamina.layer_cache.cache import Ledger
from lamina.layers import worker_tasks
from lamina.layers.context import Standing, Workshop
from lamina.layers.layer import FinishedLayer, Layer, LayerSource, StoreLayer
from lamina.layers.listings import Survey, surveyed
from lamina.layers.packed import ListedLayer, Packed
from lamina.system.locations import list_place
from lamina.system.shared_memory import Place, Spool
from lamina.system.transfer import Measure, Step, Write, copy, measure, transfer

if TYPE_CHECKING:  # a small image does without other processes
    from concurrent.futures import Future

    from lamina.layers.workers import Ask, Crew

# Listing comes first, for it is waited for; of what is to be hashed the largest, so that none is left alone at the end.
_LISTING, _HASHING = 0, 1
# More would wait for the writer.
_MOST_HASHING = 4
# Small layers are laid down by who hashes them, so that their files are opened once.
_MOST_SPOOLED, _SPOOL, _PORTION = 12 << 20, 48 << 20, 1 << 20
_AHEAD = 1 << 30
_MOST_LISTED = 32 << 20


class Packing:
    """The layers of an image from the lowest up, each to be written once, in that order; a context manager."""

    def __init__(self, sources: Sequence[LayerSource], shop: Workshop) -> None:
        standings = [Standing(number, source, shop) for number, source in enumerate(sources, 1)]
        self._works = [_Work(standing, shop.ledger) for standing in standings]
        unknown = sum(standing.weight for standing in standings if standing.known is None)
        helping = shop.crew_size(unknown, _MOST_HASHING)
        self._spool = _opened_spool() if helping else None
        self._crew = _begun_crew(helping, self._spool) if helping else None
        self._begun = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._crew:
            self._crew.__exit__(kind, error, trace)
        if self._spool:
            self._spool.close()

    def __iter__(self) -> Iterator[Outgoing]:
        """The layers; raises what listing them raises."""
        for number, work in enumerate(self._works):
            self._begin(number)
            yield Outgoing(work, work.pack())

    def layers(self) -> tuple[Layer, ...]:
        """What they were, once all are written.

        Raises `IntegrityError` where one is not what it promised to be, or, with ``verify``, what the ledger has.
        """
        return tuple(work.settled() for work in self._works)

    def _begin(self, current: int) -> None:
        """Begins with the ``current`` layer and with those that come soon, as far as there is anybody to do it."""
        ahead = listed = 0
        for number in range(current, len(self._works)):
            work = self._works[number]
            if number >= self._begun:
                wanted = self._crew and ahead <= _AHEAD and listed <= _MOST_LISTED and work.is_here
                if number > current and not wanted:
                    return
                work.begin(self._crew, self._spool)
                self._begun = number + 1
            ahead += work.standing.weight
            listed += work.listed_weight


class Outgoing:
    """A layer that is about to be written: its ``source``, and its ``size`` in bytes."""

    def __init__(self, work: _Work, packed: Packed) -> None:
        self.source = work.standing.source
        self.size = packed.size
        self._work = work
        self._packed = packed

    def write(self, out: Write, step: Step) -> None:
        """Writes it, telling ``step`` of each portion. Raises `IntegrityError` and whatever ``out`` raises."""
        self._work.write(self._packed, out, step)


class _Work:
    """One layer on its way."""

    def __init__(self, standing: Standing, ledger: Ledger) -> None:
        self.standing = standing
        self._ledger = ledger
        self._survey: Survey | None = None
        self._listing: Future[ListedLayer | None] | None = None
        self._ready: ListedLayer | None = None
        self._hashing: Future[Measure] | None = None
        self._found: Measure | None = None
        self._spooled: tuple[Spool, Place] | None = None

    @property
    def is_here(self) -> bool:
        """Whether nobody would wait for its store paths."""
        source = self.standing.source
        return not isinstance(source, StoreLayer) or source.is_here

    @property
    def listed_weight(self) -> int:
        """How much memory its listing takes, in bytes."""
        listed = self._listing.result() if self._listing and self._listing.done() else None
        return listed.weight if listed else 0

    def begin(self, crew: Crew | None, spool: Spool | None) -> None:
        """Has it listed, hashed by ``crew`` where that must be and can be, and laid in ``spool`` where it is small."""
        standing, source = self.standing, self.standing.source
        if isinstance(source, FinishedLayer) and crew:
            self._hashing = crew.submit(partial(_measured, source.tar), (_HASHING, -standing.weight))
        if not isinstance(source, StoreLayer):
            return
        survey = surveyed(source, self._ledger, anew=standing.known is None)
        if survey and survey.missing and standing.known:
            # Without a date to compare with, nothing would tell that a file was touched since.
            survey, standing.known = surveyed(source, self._ledger, anew=True), None
        if survey and standing.known is None and crew:
            self._listing = crew.submit(partial(self._listed, survey, crew, spool), (_LISTING, standing.number))
        elif survey:
            self._ready = survey.complete(map(list_place, survey.missing))
        self._survey = survey

    def _listed(self, survey: Survey, crew: Crew, spool: Spool | None, ask: Ask) -> ListedLayer | None:
        """The listing, whose layer is hashed from here on, or was, for it lies in ``spool``."""
        listed = survey.complete(worker_tasks.listings_in(ask(worker_tasks.listing_task(survey.missing))))
        if listed is None:
            return None
        if spool and self.standing.weight <= _MOST_SPOOLED:
            size = listed.size()
            whole = listed.pack_of(size).size
            place = spool.take(whole) if whole <= _MOST_SPOOLED else None
            if place:
                (self._found,) = worker_tasks.measures_in(ask(worker_tasks.spool_task(listed, size, place)))
                self._spooled = spool, place
                return None
        self._hashing = crew.submit(partial(_measured, listed), (_HASHING, -self.standing.weight))
        return listed

    def pack(self) -> Packed:
        """The layer; raises what listing it has raised."""
        listed = self._listing.result() if self._listing else self._ready
        self._listing = self._ready = None
        if self._spooled:
            return Packed(self._spooled[1].size, iter(()))
        return listed.pack() if listed else self.standing.source.pack()

    def write(self, packed: Packed, out: Write, step: Step) -> None:
        """Writes what `pack` gave."""
        if self._spooled:
            count = self._write_spooled(*self._spooled, out, step)
        elif self.standing.known:
            count = self._write_known(self.standing.known, packed, out, step)
        elif self._hashing:
            count = copy(packed.pieces, out, step)
        else:
            self._found = transfer(packed.pieces, watched(out, step))
            count = self._found.size
        if count != packed.size:
            raise IntegrityError(f"layer {self.standing.number}: got {count} bytes, expected {packed.size}")
        if self._survey:
            self._survey.learn()

    def _write_spooled(self, spool: Spool, place: Place, out: Write, step: Step) -> int:
        with spool.view(place) as view:
            for start in range(0, place.size, _PORTION):
                with view[start : start + _PORTION] as portion:
                    out(portion)
                    step(len(portion))
        spool.give(place)
        return place.size

    def _write_known(self, known: Measure, packed: Packed, out: Write, step: Step) -> int:
        """A file with another date than the ledger remembers makes the layer one that is not known after all."""
        touched: set[Extent] = set()

        def doubt(extent: Extent) -> None:
            if not touched:
                touched.add(extent)

        try:
            count = copy(packed.pieces, out, step, doubt if self._survey else None)
        except IntegrityError as error:
            if not self._survey:
                raise
            self._survey.forget()
            hint = "run it again: what was known of the store path is forgotten"
            raise IntegrityError(str(error), hint=hint) from error
        self._found = self._measured_anew() if touched else known
        return count if self._found.size == packed.size else self._found.size

    def _measured_anew(self) -> Measure:
        """What the layer is, listed again, so that the next run has the dates that its files have now."""
        source = self.standing.source
        self._survey = surveyed(source, self._ledger, anew=True) if isinstance(source, StoreLayer) else None
        listed = self._survey.complete(map(list_place, self._survey.missing)) if self._survey else None
        return measure(listed.pack().pieces if listed else source.pack().pieces)

    def settled(self) -> Layer:
        """What it was; the ledger learns it."""
        found = self._found or (self._hashing.result() if self._hashing else None)
        if found is None:
            raise ValueError(f"layer {self.standing.number}: got it not written yet, expected it to be")
        return self.standing.settled(found)


def _begun_crew(size: int, spool: Spool | None) -> Crew:
    from lamina.layers.workers import Crew

    return Crew(size, (spool.number,) if spool else ())


def _opened_spool() -> Spool | None:
    """None where the system has no such memory."""
    try:
        return Spool(_SPOOL)
    except OSError:
        return None


def watched(write: Write, step: Step) -> Write:
    """``write`` that tells ``step`` how far it is."""

    def watching(data: memoryview) -> None:
        write(data)
        step(len(data))

    return watching


def _measured(content: worker_tasks.Content, ask: Ask) -> Measure:
    (found,) = worker_tasks.measures_in(ask(worker_tasks.measure_task(content)))
    return found
