"""Bars on a terminal: one for the layer that is written, and a summary at the end."""

import io

import pytest
from tests.support.factories import MemoryStore, info, infos

from lamina.cli.progress_bars import FetchBar, ProgressBars
from lamina.core.names import Digest, ImageReference
from lamina.formats.tar import Owner
from lamina.images.image import Image
from lamina.layering.plans import LayerPlan
from lamina.layers.layer import StoreLayer

IMAGE = Image(Digest(bytes(32)), ImageReference("[red]app", "1"), ())


class Terminal(io.StringIO):
    """A file that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    return Terminal()


def test_the_bar_names_the_paths_of_its_layer_and_the_summary_the_image(terminal: Terminal) -> None:
    bars = ProgressBars(terminal)
    bars.begin(2, 0)
    for number, graph in enumerate(("A  B", "C"), 1):
        bars.layer(number, StoreLayer(LayerPlan.of(infos(graph), ""), MemoryStore().nodes, Owner(), 1), 100)
        bars.advance(60)
        bars._bars.refresh()
    bars.manifests()
    bars.done(IMAGE)
    drawn = terminal.getvalue()
    assert "1/2 A, B" in drawn
    assert "2/2 C" in drawn
    assert "[red]app:1: 0 layers, 0.0 MB" in drawn, "what looks like markup is text"


def test_a_long_title_is_cut(terminal: Terminal) -> None:
    bars = ProgressBars(terminal)
    bars.begin(1, 0)
    bars.layer(1, StoreLayer(LayerPlan.of([info("n" * 60)], ""), MemoryStore().nodes, Owner(), 1), 100)
    bars._bars.refresh()
    bars.stop()
    assert "n" * 43 + "…" in terminal.getvalue()
    assert "n" * 44 not in terminal.getvalue()


def test_fetched_paths_have_one_bar_for_all(terminal: Terminal) -> None:
    bar = FetchBar(terminal)
    missing = infos("A  B", A=10, B=30)
    bar.begin(missing, 5)
    for found in missing:
        bar.advance(found)
    bar._bars.refresh()
    bar.stop()
    assert "2 store paths" in terminal.getvalue()


def test_nothing_is_drawn_if_nothing_is_missing(terminal: Terminal) -> None:
    bar = FetchBar(terminal)
    bar.begin((), 5)
    bar.stop()
    assert "store paths" not in terminal.getvalue()
