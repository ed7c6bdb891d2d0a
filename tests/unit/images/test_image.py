"""The image model: the name of an image, and the order of its layers."""

from dataclasses import replace
from datetime import UTC, datetime

from tests.support.factories import MemoryStore, infos

from lamina.formats.docker import ImageConfig
from lamina.formats.tar import Owner
from lamina.images.image import Draft, Image, ImageSettings
from lamina.layering.plans import LayerPlan
from lamina.rootfs.layer import RootLayer
from lamina.rootfs.tree import Tree
from lamina.stores.store import adapt_store

EPOCH = datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC)
SETTINGS = ImageSettings("app", None, ImageConfig("amd64", EPOCH, {}), Owner(), EPOCH)


def test_without_a_tag_the_id_gives_one() -> None:
    document, digest, reference = SETTINGS.dump_config(())
    assert document
    assert str(reference) == f"app:{digest.hex[:32]}"
    assert str(replace(SETTINGS, tag="1").dump_config(())[2]) == "app:1"
    image = Image(digest, reference, ())
    assert (image.id, image.repo_tag) == (f"sha256:{digest.hex}", str(reference))


def test_the_time_in_a_tar_is_in_whole_seconds() -> None:
    assert SETTINGS.mtime_seconds == 1


def test_store_layers_are_between_those_of_the_base_and_the_root() -> None:
    plans = tuple(LayerPlan.of([info], "test") for info in infos("A  B"))
    base, root = RootLayer(Tree()), RootLayer(Tree())
    draft = Draft(plans, adapt_store(MemoryStore()), root, SETTINGS, (base,))
    assert draft.layers[0] is base
    assert [layer.paths for layer in draft.layers[1:-1]] == [plan.paths for plan in plans]
    assert draft.layers[-1] is root
    draft.close()
