"""The lines that nixpkgs' streamer prints, and names that would change a terminal."""

import io
from datetime import UTC, datetime

from tests.support.factories import MemoryStore, infos

from lamina.cli.progress_lines import ProgressLines
from lamina.core.names import Digest, ImageReference
from lamina.formats.tar import Owner
from lamina.images.image import Image
from lamina.layering.plans import LayerPlan
from lamina.layers.layer import StoreLayer

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SOURCE = StoreLayer(LayerPlan.of(infos("A"), ""), MemoryStore().nodes, Owner(), 1)
IMAGE = Image(Digest(bytes(32)), ImageReference("a", "1"), ())


def test_the_lines_are_those_of_nixpkgs() -> None:
    out = io.StringIO()
    lines = ProgressLines(out)
    lines.begin(1, 0)
    lines.layer(1, SOURCE, 10)
    lines.advance(10)
    lines.manifests()
    lines.done(IMAGE)
    assert out.getvalue().splitlines() == [
        "No 'fromImage' provided",
        SOURCE.headline(1),
        "Adding manifests...",
        "Done.",
    ]


def test_with_a_base_image_nothing_is_said_about_it() -> None:
    out = io.StringIO()
    ProgressLines(out).begin(3, 2)
    assert out.getvalue() == ""
