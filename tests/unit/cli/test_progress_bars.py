"""Bars on a terminal: one for all of the work, and a line for each item that is being worked on."""

from __future__ import annotations

import io
import re
import sys

import pytest
from rich.console import Console
from tests.support.factories import MemoryStore, infos, path

from lamina.cli.progress_bars import ProgressBars
from lamina.core.progress import Work
from lamina.formats.tar import Owner
from lamina.layering.plans import LayerPlan
from lamina.layers.layer import StoreLayer, list_items
from lamina.system.progress_reporter import FileProgress, ProgressReporter

MIB = 1 << 20
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal(io.StringIO):
    """A file whose ``isatty`` returns True."""

    def isatty(self) -> bool:
        return True


def work(*names: str, title: str = "hello:1.4") -> Work:
    """Return the work of an image with a layer of 10 MiB for each of ``names``."""
    plans = [LayerPlan.of(infos(name, **dict.fromkeys(name.split(), 10 * MIB)), "") for name in names]
    return Work(title, list_items([StoreLayer(plan, MemoryStore().nodes, Owner(), 1) for plan in plans]))


def draw(bars: ProgressBars, width: int, **environment: str) -> list[str]:
    """Return what ``bars`` show now on a terminal of that width, line by line."""
    out = Terminal()
    console = Console(file=out, width=width, height=24, _environ={"TERM": "xterm", **environment})
    bars._console = console
    console.print(bars._render())
    return [_ESCAPE.sub("", line).rstrip() for line in out.getvalue().splitlines()]


@pytest.fixture
def bars(monkeypatch: pytest.MonkeyPatch) -> ProgressBars:
    """Bars of an image of which one layer is finished and two are being worked on, after a second."""
    monkeypatch.setenv("TERM", "xterm")
    clock = iter(range(1000))
    monkeypatch.setattr("lamina.cli.progress_bars.time.monotonic", lambda: float(next(clock)))
    made = ProgressBars(Terminal())
    begun = work("A", "openssl  glibc", "n" * 60, "D")
    made.begin(begun)
    made.stop()
    for item in begun.items[:3]:
        made.start(item)
    made.advance(begun.items[0], 10 * MIB)
    made.finish(begun.items[0], "packed", 9 * MIB)
    made.advance(begun.items[1], 5 * MIB)
    made._samples.clear()
    made._samples.append((float(next(clock)), 0))
    return made


SHOWN = {
    120: """\
hello:1.4  ━━━━━━━━━━━━╺━━━━━━━━━━━━━━━━━━━━━━━━━━━   30%  15.0 MiB of 50.0 MiB  15.0 MiB/s   0:02 left  1/4 layers
  openssl +1                               5.0 MiB of 20.0 MiB
  nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn…       0 B of 10.0 MiB
""",
    80: """\
hello:1.4  ━━━━╸━━━━━━━━━━━   30%  15.0 MiB of 50.0 MiB  15.0 MiB/s   0:02 left
  openssl +1                               5.0 MiB of 20.0 MiB
  nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn…       0 B of 10.0 MiB
""",
    60: """\
hello:1.4  ━━━━━╺━━━━━━━━━━━━   30%  15.0 MiB/s   0:02 left
  openssl +1                            5.0 MiB of 20.0 MiB
  nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn…       0 B of 10.0 MiB
""",
}


@pytest.mark.parametrize("width", SHOWN)
def test_what_does_not_fit_beside_the_bar_is_left_out(bars: ProgressBars, width: int) -> None:
    assert draw(bars, width) == SHOWN[width].splitlines()


@pytest.mark.parametrize("width", [1, 10, 20, 30, 40, 50, 60, 79, 80, 81, 100, 120, 200, 300])
@pytest.mark.parametrize("title", ["a", "registry.example/a/very/long/name/of/an/image:1.4-of-today"])
def test_no_line_is_as_wide_as_the_terminal(bars: ProgressBars, width: int, title: str) -> None:
    bars._work = Work(title, bars._work.items)
    lines = draw(bars, width)
    assert len(lines) == 3
    assert max(map(len, lines)) <= max(width - 1, 1)


def test_without_colour_the_rest_of_the_bar_is_empty(bars: ProgressBars) -> None:
    line = draw(bars, 80, NO_COLOR="1")[0]
    assert line.count("━") == 4
    assert "30%" in line


def test_layers_that_are_reused_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    bars = ProgressBars(Terminal())
    begun = work("A", "B", "C")
    bars.begin(begun)
    bars.stop()
    for item in begun.items[:2]:
        bars.advance(item, 10 * MIB)
        bars.finish(item, "reused", 10 * MIB)
    bars.start(begun.items[2])
    bars.advance(begun.items[2], 5 * MIB)
    (line,) = draw(bars, 120)[:1]
    assert " 50%   5.0 MiB of 10.0 MiB" in line
    assert line.endswith("2/3 layers")


def test_the_total_stays_when_a_layer_is_smaller_than_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    bars = ProgressBars(Terminal())
    begun = work("A", "B")
    reporter = ProgressReporter(bars)
    reporter.begin(begun)
    bars.stop()
    reporter.start(begun.items[0])
    reporter.advance(begun.items[0], 2 * MIB)
    reporter.finish(begun.items[0], "packed", 8 * MIB)
    assert " 50%  10.0 MiB of 20.0 MiB" in draw(bars, 120)[0]


def test_many_running_layers_leave_room_on_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    bars = ProgressBars(Terminal())
    begun = work(*map(str, range(30)))
    bars.begin(begun)
    bars.stop()
    for item in begun.items:
        bars.start(item)
    lines = draw(bars, 80)
    assert len(lines) == 10
    assert lines[-1] == "  and 22 more"


def test_markup_and_controls_in_a_name_are_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    bars = ProgressBars(Terminal())
    begun = work("A", title="[red]app\x1b[31m:1")
    bars.begin(begun)
    bars.stop()
    assert draw(bars, 120)[0].startswith("[red]app\\x1b[31m:1  ")


def test_nothing_stays_on_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    bars = ProgressBars(terminal)
    begun = work("A")
    bars.begin(begun)
    bars.start(begun.items[0])
    bars.done()
    bars.stop()
    text = terminal.getvalue()
    assert "hello:1.4" in text
    assert text.endswith("\x1b[1A\x1b[2K"), "the last thing written erases the line of the bar"
    assert sys.stderr is not terminal


def test_work_on_one_file_has_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    bars = ProgressBars(Terminal())
    reported = FileProgress(bars, "Adding site", "site", 20 * MIB)
    bars.stop()
    reported.advance(5 * MIB)
    (line,) = draw(bars, 120)
    assert line.startswith("Adding site  ━")
    assert line.endswith(" 25%   5.0 MiB of 20.0 MiB")


def test_work_of_unknown_size_has_no_percentage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    bars = ProgressBars(Terminal())
    reported = FileProgress(bars, "Importing stdin", "stdin", 0)
    bars.stop()
    reported.advance(5 * MIB)
    (line,) = draw(bars, 80)
    assert line.startswith("Importing stdin  ━")
    assert line.endswith("  5.0 MiB")


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (60, r"Fetching 5 of 9 store paths  ━+[╸╺]?━*  12\.5 MiB of 50\.0 MiB"),
        (80, r"Fetching 5 of 9 store paths  ━+[╸╺]?━*   25%  12\.5 MiB of 50\.0 MiB"),
        (120, r"Fetching 5 of 9 store paths  ━+[╸╺]?━*   25%  12\.5 MiB of 50\.0 MiB +0/5 paths"),
    ],
)
def test_the_total_of_what_is_fetched_is_shown_before_the_rate(
    monkeypatch: pytest.MonkeyPatch, width: int, shown: str
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    bars = ProgressBars(Terminal())
    fetched = Work.of_paths("Fetching 5 of 9 store paths", [(path(name), 10 * MIB) for name in "ABCDE"])
    bars.begin(fetched)
    bars.stop()
    for item in fetched.items[:2]:
        bars.start(item)
    bars.advance(fetched.items[0], 10 * MIB)
    bars.advance(fetched.items[1], 5 * MIB // 2)
    total, *items = draw(bars, width)
    assert re.fullmatch(shown, total), total
    assert [line.split()[0] for line in items] == ["A", "B"]
