"""The calls that a display receives about work."""

from tests.support.factories import path

import lamina
from lamina.core.progress import Progress, Work


def test_store_paths_are_items_in_their_order() -> None:
    work = Work.of_paths("Fetching 2 of 3 store paths", [(path("A"), 10), (path("B"), 32)])
    assert [(item.number, item.name, item.size) for item in work.items] == [(1, "A", 10), (2, "B", 32)]
    assert (work.size, work.unit) == (42, "path")
    assert repr(work.items[1]) == "ProgressItem(2, 32, 'B')"
    assert work.items[0].subject.headline(1) == f"copying path '{path('A')}'..."


def test_a_progress_that_overrides_nothing_ignores_everything() -> None:
    progress = Progress()
    assert progress.__class__ is lamina.Progress
    work = Work.of_paths("", [(path("A"), 10)])
    progress.begin(work)
    progress.start(work.items[0])
    progress.advance(work.items[0], 10)
    progress.finish(work.items[0], "fetched", 10)
    progress.documents()
    progress.done()
