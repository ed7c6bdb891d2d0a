"""Store paths and digests have short names."""

from tests.support.factories import path

from lamina.core.labels import NO_PATHS, shorten_digest, shorten_sri, summarize_layer_paths
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
