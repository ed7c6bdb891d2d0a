"""The progress of a push: a layer is half done when it is packed, and done when it is sent."""

from __future__ import annotations

from tests.support.progress import RecordedProgress

from lamina.core.progress import FileSubject, ProgressItem, Work
from lamina.images.writers.push_progress import PushProgress
from lamina.system.progress_reporter import ProgressReporter

ITEM = ProgressItem(1, 1000, FileSubject("layer"))


def begin() -> tuple[RecordedProgress, PushProgress]:
    recorded = RecordedProgress()
    reporter = ProgressReporter(recorded)
    reporter.begin(Work("push", (ITEM,)))
    return recorded, PushProgress(reporter)


def test_packing_is_the_first_half_and_sending_the_second() -> None:
    recorded, progress = begin()
    progress.start(ITEM)
    seen = []
    for size in (600, 400, 500):  # the tar is larger than the NARs, which the item counts
        progress.advance(ITEM, size)
        seen.append(recorded.sum_up()[1])
    for sent in (30, 60):
        progress.send(ITEM, sent, 60)
        seen.append(recorded.sum_up()[1])
    assert seen == [300, 500, 500, 750, 1000]


def test_a_blob_that_is_not_packed_is_sent_as_a_whole_and_a_repetition_counts_once() -> None:
    recorded, progress = begin()
    progress.start(ITEM)
    seen = []
    for sent in (20, 40, 10, 60):
        progress.send(ITEM, sent, 80)
        seen.append(recorded.sum_up()[1])
    progress.finish(ITEM, "sent", 2000)
    assert seen == [250, 500, 500, 750]
    assert recorded.sum_up() == {1: 1000}
    assert recorded.calls[-1] == ("finish", 1, "sent", 2000)


def test_a_push_that_begins_again_or_follows_another_begins_at_nothing() -> None:
    recorded, progress = begin()
    progress.advance(ITEM, 1000)
    before = recorded.sum_up()[1]
    progress.begin(Work("another push", (ITEM,)))
    progress.send(ITEM, 30, 60)
    assert recorded.sum_up()[1] - before == 500
