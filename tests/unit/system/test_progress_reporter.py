"""Progress reaches the display one call at a time, and each item advances by its size."""

import pytest
from tests.support.factories import path
from tests.support.progress import RecordedProgress

from lamina.core.progress import Progress, ProgressItem, Work
from lamina.errors import InvalidArgument
from lamina.system.progress_reporter import FileProgress, ProgressReporter
from lamina.system.threads import ThreadPool


class Overlap(Progress):
    """Counts the calls of ``advance``, and those that came during another."""

    def __init__(self) -> None:
        self.active = self.overlaps = self.count = 0

    def advance(self, item: ProgressItem, size: int) -> None:
        self.active += 1
        self.overlaps += self.active > 1
        for _ in range(50):
            self.count += 1
        self.active -= 1


def test_calls_of_threads_do_not_overlap() -> None:
    overlap = Overlap()
    serial = ProgressReporter(overlap)
    (item,) = Work.of_paths("", [(path("A"), 100_000)]).items
    with ThreadPool(4, "test") as pool:
        pool.map(lambda size: serial.advance(item, size), range(1, 201))
    assert (overlap.overlaps, overlap.count) == (0, 10_000)


def test_every_call_is_passed_on() -> None:
    recorded = RecordedProgress()
    serial = ProgressReporter(recorded)
    work = Work.of_paths("", [(path("A"), 10)])
    (item,) = work.items
    serial.begin(work)
    serial.start(item)
    serial.advance(item, 10)
    serial.finish(item, "fetched", 10)
    serial.documents()
    serial.done()
    assert recorded.works == [work]
    assert recorded.calls == [
        ("begin", 1),
        ("start", 1),
        ("advance", 1, 10),
        ("finish", 1, "fetched", 10),
        ("documents",),
        ("done",),
    ]


@pytest.mark.parametrize("handled", [[], [4], [10], [7, 40], [0, 3, 3]])
def test_a_finished_item_has_advanced_by_its_size(handled: list[int]) -> None:
    recorded = RecordedProgress()
    reporter = ProgressReporter(recorded)
    work = Work.of_paths("", [(path("A"), 10), (path("B"), 20)])
    reporter.begin(work)
    reporter.start(work.items[0])
    for size in handled:
        reporter.advance(work.items[0], size)
    reporter.finish(work.items[0], "packed", sum(handled))
    assert recorded.calls[1:] == [("start", 1), ("advance", 1, 10), ("finish", 1, "packed", sum(handled))]


def test_an_item_that_was_already_there_advances_without_a_start() -> None:
    recorded = RecordedProgress()
    reporter = ProgressReporter(recorded)
    (item,) = Work.of_paths("", [(path("A"), 10)]).items
    reporter.finish(item, "reused", 12)
    assert recorded.calls == [("advance", 1, 10), ("finish", 1, "reused", 12)]


def test_an_item_that_is_started_again_is_counted_once() -> None:
    recorded = RecordedProgress()
    reporter = ProgressReporter(recorded)
    (item,) = Work.of_paths("", [(path("A"), 10)]).items
    for size in (6, 3, 7):
        reporter.start(item)
        reporter.advance(item, size)
    assert recorded.calls == [("start", 1), ("advance", 1, 7)]


def test_work_of_unknown_size_counts_what_was_read() -> None:
    recorded = RecordedProgress()
    reported = FileProgress(recorded, "Importing stdin", "stdin", 0)
    reported.advance(5)
    reported.advance(6)
    reported.finish("copied", 11)
    assert recorded.calls == [("begin", 1), ("start", 1), ("advance", 1, 11), ("finish", 1, "copied", 11), ("done",)]


@pytest.mark.parametrize("wrong", ["bars", Progress])
def test_what_is_no_progress_is_refused(wrong: Progress) -> None:
    with pytest.raises(InvalidArgument, match=r"progress: got .*, expected an object of a subclass of lamina.Progress"):
        ProgressReporter(wrong)
