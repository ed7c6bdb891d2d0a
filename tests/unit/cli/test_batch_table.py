"""The progress of a batch: a table on a terminal, lines elsewhere, and the numbers in both."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from lamina.cli.batch_counts import BatchCounts
from lamina.cli.batch_lines import BatchLines
from lamina.cli.batch_table import BatchTable
from lamina.core.names import Digest
from lamina.errors import NotFound, RegistryError
from lamina.fleet.results import FAILED, MADE, REUSED, BatchImage, BatchLayer

MIB = 1 << 20
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def digest(number: int) -> Digest:
    return Digest(bytes([number]) * 32)


def layer(number: int, outcome: str = MADE) -> BatchLayer:
    size = 0 if outcome == FAILED else number * MIB
    return BatchLayer(digest(number), "gzip", (f"lib{number}-1.0", "more"), 3 * size, 2, outcome, blob_size=size)


def image(name: str, *layers: int, mounted: int = 0) -> BatchImage:
    found = frozenset((digest(number), "gzip") for number in layers)
    return BatchImage(
        name, None, (), f"host/{name}:1", digest(9), found, blobs_mounted=mounted, bytes_sent=MIB, seconds=0.1
    )


def failed(name: str) -> BatchImage:
    return BatchImage(name, NotFound(f"image {name}", "no path", "one"))


def run(display: BatchCounts) -> None:
    """Report a batch of four images: one cannot be prepared, two are done and one is not yet."""
    display.connect("2 workers", "http://127.0.0.1:8787/status")
    display.prepare(4)
    display.image(failed("broken"))
    for name in ("broken", "web", "api", "job"):
        display.prepared(name)
    display.begin(3, 5)
    display.layer(layer(4))
    display.layer(layer(2, REUSED))
    display.retry("layer lib4", RegistryError("host", "503", "200"))
    display.layer(layer(1, FAILED))
    display.image(image("web", 4, 2))
    display.image(image("api", 4, 2, mounted=2))


def test_what_images_share_is_counted_as_saved() -> None:
    counts = BatchCounts()
    run(counts)
    assert (counts.images, counts.done, counts.failed) == (4, 2, 1)
    assert (counts.layers, counts.made, counts.reused, counts.failed_layers) == (5, 1, 1, 1)
    assert (counts.mounted, counts.retries) == (2, 1)
    assert counts.bytes_read == 12 * MIB
    assert counts.bytes_sent == (4 + 1 + 1) * MIB
    assert counts.bytes_saved == (2 + 4 + 2) * MIB


class Terminal(io.StringIO):
    """A file whose ``isatty`` returns True."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> BatchTable:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("lamina.cli.batch_counts.time.monotonic", lambda: 100.0)
    return BatchTable(Terminal())


def draw(table: BatchTable, width: int) -> list[str]:
    """Return what ``table`` shows now on a terminal of that width, line by line."""
    out = Terminal()
    table._console = Console(file=out, width=width, height=24, _environ={"TERM": "xterm"})
    table._console.print(table._render())
    return [_ESCAPE.sub("", line).rstrip() for line in out.getvalue().splitlines()]


SHOWN = {
    100: """\
Images    ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╺━━━━━━━━━  3 of 4   75%
Layers    ━━━━━━━━━━━━━━━━━━━━━━━━╺━━━━━━━━━━━━━━━  3 of 5   60%
1 failed  1 tried again  1 made  1 reused  2 mounted  12.0 MiB read  6.0 MiB sent  8.0 MiB saved
  0:00
""",
    40: """\
Images    ━━━━━━━━━━━╺━━━  3 of 4   75%
Layers    ━━━━━━━━━╺━━━━━  3 of 5   60%
1 failed  1 tried again  1 made
  1 reused  2 mounted  12.0 MiB read
  6.0 MiB sent  8.0 MiB saved  0:00
""",
    30: """\
Images  3 of 4   75%
Layers  3 of 5   60%
1 failed  1 tried again
  1 made  1 reused  2 mounted
  12.0 MiB read  6.0 MiB sent
  8.0 MiB saved  0:00
""",
}


@pytest.mark.parametrize("width", SHOWN)
def test_the_table_has_bars_and_the_numbers_that_fit(table: BatchTable, width: int) -> None:
    run(table)
    table.stop()
    assert draw(table, width) == SHOWN[width].splitlines()


@pytest.mark.parametrize("width", [5, 10, 20, 30, 40, 60, 80, 81, 120, 300])
def test_no_line_is_as_wide_as_the_terminal(table: BatchTable, width: int) -> None:
    run(table)
    table.stop()
    assert max(map(len, draw(table, width))) < width


def test_before_layers_are_known_the_table_shows_how_many_images_are_planned(table: BatchTable) -> None:
    table.prepare(200)
    table.prepared("web")
    table.stop()
    assert draw(table, 80) == ["Planning  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━    1 of 200    0%", "0:00"]


def test_failed_images_and_repeated_work_stay_on_the_terminal_up_to_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    out = Terminal()
    table = BatchTable(out)
    table.connect("2 workers", "http://127.0.0.1:8787/status")
    table.prepare(20)
    for number in range(20):
        table.image(failed(f"image-{number}"))
    table.retry("layer \x1b[2J", RegistryError("host", "503", "200"))
    table.stop()
    shown = out.getvalue()
    assert "2 workers: http://127.0.0.1:8787/status" in shown
    assert shown.count("failed: image image-") == 10
    assert "more are listed at the end" in shown
    assert "trying again: layer" in shown
    assert "layer \x1b[2J" not in shown


@pytest.mark.parametrize("kind", [BatchTable, BatchLines])
def test_an_outage_that_concerns_every_layer_is_few_lines(
    kind: type[BatchTable | BatchLines], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    out = Terminal()
    display = kind(out)
    for number in range(500):
        display.retry(f"layer lib{number}", RegistryError("host", "503", "200"))
    display.stop()
    assert out.getvalue().count("trying again: ") == 10
    assert "layer lib9: host: got 503, expected 200; more are only counted" in out.getvalue()
    assert display.retries == 500


def test_a_table_that_was_never_shown_leaves_nothing_on_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    out = Terminal()
    BatchTable(out).stop()
    assert out.getvalue() == ""


def test_lines_name_the_layers_that_are_made_and_all_images() -> None:
    out = io.StringIO()
    run(BatchLines(out))
    assert (
        out.getvalue()
        == f"""\
workers: 2 workers; dashboard: http://127.0.0.1:8787/status
planning 4 images
image         1/4  {"broken":<40}  failed: image broken: got no path, expected one
3 images, 5 distinct layers
layer         1/5  {"lib4-1.0 +1":<40}     4.0 MiB  made in 0.0 s
trying again: layer lib4: host: got 503, expected 200
layer         3/5  {"lib1-1.0 +1":<40}              failed in 0.0 s
image         2/4  {"host/web:1":<40}  sha256:090909090909  2 store layers
image         3/4  {"host/api:1":<40}  sha256:090909090909  2 store layers
"""
    )
