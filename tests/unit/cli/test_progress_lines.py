"""One line for each layer or store path."""

import io

from tests.support.factories import MemoryStore, infos, path

from lamina.cli.progress_lines import ProgressLines
from lamina.core.progress import Work
from lamina.formats.tar import Owner
from lamina.layering.plans import LayerPlan
from lamina.layers.layer import StoreLayer, list_items
from lamina.system.progress_reporter import FileProgress


def work(*names: str, **sizes: int) -> Work:
    """Return the work of writing an image with a layer for each of ``names``, which are graphs of store paths."""
    plans = [LayerPlan.of(infos(name, **sizes), "") for name in names]
    return Work("a:1", list_items([StoreLayer(plan, MemoryStore().nodes, Owner(), 1) for plan in plans]))


def test_a_line_has_number_name_size_and_outcome() -> None:
    out = io.StringIO()
    lines = ProgressLines(out)
    begun = work(*"A" * 9, "A  B  C", A=10, B=30, C=20)
    lines.begin(begun)
    for item in begun.items:
        lines.start(item)
        lines.advance(item, 1 << 20)
        lines.finish(item, "reused" if item.number == 1 else "packed", item.number << 20)
    lines.documents()
    lines.done()
    assert out.getvalue().splitlines()[::9] == [
        "layer  1/10  A                          1.0 MiB  reused",
        "layer 10/10  B +2                      10.0 MiB  packed",
    ]


def test_the_lines_are_in_the_order_of_the_layers() -> None:
    out = io.StringIO()
    lines = ProgressLines(out)
    begun = work("A", "B", "C")
    lines.begin(begun)
    first, second, third = begun.items
    lines.finish(third, "reused", 1)
    lines.finish(second, "packed", 1)
    assert out.getvalue() == ""
    lines.finish(first, "packed", 1)
    assert [line.split()[2] for line in out.getvalue().splitlines()] == ["A", "B", "C"]


def test_store_paths_are_counted_as_they_come_and_their_total_is_known_first() -> None:
    out = io.StringIO()
    lines = ProgressLines(out)
    begun = Work.of_paths("Fetching 2 of 5 store paths", [(path("A"), 1 << 20), (path("B"), 1 << 10)])
    lines.begin(begun)
    assert out.getvalue() == "Fetching 2 of 5 store paths, 1.0 MiB\n"
    for item in reversed(begun.items):
        lines.finish(item, "fetched", item.size)
    assert [line.split() for line in out.getvalue().splitlines()[1:]] == [
        ["path", "1/2", "B", "1.0", "KiB", "fetched"],
        ["path", "2/2", "A", "1.0", "MiB", "fetched"],
    ]


def test_a_long_name_widens_its_column_up_to_a_limit() -> None:
    out = io.StringIO()
    lines = ProgressLines(out)
    begun = work("A", "B" * 40, "C" * 90)
    lines.begin(begun)
    for item in begun.items:
        lines.finish(item, "packed", 1024)
    short, long, longest = out.getvalue().splitlines()
    assert short.index("1.0 KiB") == long.index("1.0 KiB") == len("layer 1/3  ") + 48 + 3
    assert longest.endswith("C   1.0 KiB  packed")


def test_a_second_image_is_counted_from_the_start() -> None:
    out = io.StringIO()
    lines = ProgressLines(out)
    for name in ("A", "B"):
        begun = work(name)
        lines.begin(begun)
        lines.finish(begun.items[0], "packed", 1)
        lines.done()
    assert [line.split()[1] for line in out.getvalue().splitlines()] == ["1/1", "1/1"]


def test_work_on_one_file_has_no_line() -> None:
    out = io.StringIO()
    reported = FileProgress(ProgressLines(out), "Adding site", "site", 10)
    reported.advance(10)
    reported.finish("copied", 10)
    assert out.getvalue() == ""
