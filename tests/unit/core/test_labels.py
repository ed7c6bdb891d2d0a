"""Store paths and digests have short names."""

from tests.support.factories import path

from lamina.core.labels import (
    CUSTOMISATION_LAYER,
    NO_PATHS,
    name_layer,
    shorten_digest,
    shorten_sri,
    summarize_layer_paths,
)
from lamina.core.names import Digest


def test_a_digest_is_cut_to_twelve_digits() -> None:
    digest = Digest(bytes(range(32)))
    assert shorten_digest(digest) == "sha256:000102030405"
    assert shorten_sri(digest) == "sha256-AAECAwQFBgcI…"


def test_a_layer_is_called_by_its_largest_path_and_the_number_of_others() -> None:
    paths = [path("a"), path("b"), path("c")]
    assert summarize_layer_paths(paths, [1, 3, 2]) == "b +2"
    assert summarize_layer_paths(paths) == "a +2"
    assert summarize_layer_paths(paths[:1], [1]) == "a"
    assert summarize_layer_paths([]) == NO_PATHS


def test_a_layer_without_store_paths_is_called_by_its_comment_if_that_is_known() -> None:
    assert name_layer([path("a")], CUSTOMISATION_LAYER, "other") == "a"
    assert name_layer([], CUSTOMISATION_LAYER, "other") == CUSTOMISATION_LAYER
    assert name_layer([], "ADD file:0123", "other") == "other"
