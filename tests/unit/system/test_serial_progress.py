"""Progress of several threads reaches the display one call at a time."""

from tests.support.factories import path
from tests.support.progress import RecordedProgress

from lamina.core.progress import Progress, ProgressItem, Work
from lamina.system.serial_progress import SerialProgress
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
    serial = SerialProgress(overlap)
    (item,) = Work.of_paths("", [(path("A"), 1)]).items
    with ThreadPool(4, "test") as pool:
        pool.map(lambda size: serial.advance(item, size), range(200))
    assert (overlap.overlaps, overlap.count) == (0, 10_000)


def test_every_call_is_passed_on() -> None:
    recorded = RecordedProgress()
    serial = SerialProgress(recorded)
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
