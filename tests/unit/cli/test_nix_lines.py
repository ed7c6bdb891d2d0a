"""The lines that nixpkgs' streamer prints, and names that would change a terminal."""

import io

from tests.support.factories import MemoryStore, infos

from lamina.cli.nix_lines import NixLines
from lamina.core.progress import Work
from lamina.formats.tar import Owner
from lamina.layering.plans import LayerPlan
from lamina.layers.layer import StoreLayer, list_items

SOURCES = [StoreLayer(LayerPlan.of(infos(name), ""), MemoryStore().nodes, Owner(), 1) for name in "ABC"]
ITEMS = list_items(SOURCES)
HEADLINES = [source.headline(number) for number, source in enumerate(SOURCES, 1)]


def test_the_lines_are_those_of_nixpkgs() -> None:
    out = io.StringIO()
    lines = NixLines(out)
    lines.begin(Work("a:1", ITEMS[:1], headline="No 'fromImage' provided"))
    lines.start(ITEMS[0])
    lines.advance(ITEMS[0], 10)
    lines.finish(ITEMS[0], "packed", 10)
    lines.documents()
    lines.done()
    assert out.getvalue().splitlines() == [
        "No 'fromImage' provided",
        HEADLINES[0],
        "Adding manifests...",
        "Done.",
    ]


def test_a_line_comes_before_its_layer_is_written() -> None:
    out = io.StringIO()
    lines = NixLines(out)
    lines.begin(Work("a:1", ITEMS))
    lines.start(ITEMS[0])
    assert out.getvalue().splitlines() == HEADLINES[:1]


def test_layers_that_are_written_in_parallel_have_their_lines_in_order() -> None:
    out = io.StringIO()
    lines = NixLines(out)
    lines.begin(Work("a:1", ITEMS))
    lines.finish(ITEMS[1], "reused", 10)
    lines.start(ITEMS[2])
    lines.finish(ITEMS[2], "packed", 10)
    assert out.getvalue() == ""
    lines.start(ITEMS[0])
    lines.finish(ITEMS[0], "packed", 10)
    assert out.getvalue().splitlines() == HEADLINES


def test_with_a_base_image_nothing_is_said_about_it() -> None:
    out = io.StringIO()
    NixLines(out).begin(Work("a:1", ITEMS))
    assert out.getvalue() == ""
