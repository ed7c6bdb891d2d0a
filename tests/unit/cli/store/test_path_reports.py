"""Store paths as text."""

from dataclasses import replace

from tests.support.factories import info, path

from lamina.cli.store.path_reports import summarize_paths
from lamina.formats.narinfo import NarInfo

ONE = NarInfo(info("A", "BA", 1024), "nar/a", "none", ("key:x",), deriver="x.drv")


def test_identical_nars_count_once_in_a_size() -> None:
    twin = replace(ONE, info=replace(ONE.info, path=path("C")))
    assert summarize_paths([ONE, twin]) == "2 paths, 1.0 KiB"
    assert summarize_paths(iter([ONE])) == "1 path, 1.0 KiB"
