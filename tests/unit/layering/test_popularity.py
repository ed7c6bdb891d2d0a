"""The layering by popularity: the more ways lead to a path, the earlier its layer."""

from tests.support.factories import closure, layers, path

from lamina.layering.popularity import popularity, rank_by_popularity

EXAMPLE = closure("A→B,G  B→C,E  C→D,E  D→F  E→F")


def test_the_example_of_the_docstring_of_the_module() -> None:
    ranking = [(info.path.name, score) for info, score in rank_by_popularity(EXAMPLE)]
    assert ranking == [("F", 9), ("E", 5), ("D", 4), ("C", 3), ("B", 2), ("G", 2), ("A", 1)]


def test_the_least_popular_paths_share_the_last_layer() -> None:
    assert layers(popularity(EXAMPLE, 3, ())) == ["F", "E", "D C B G A"]
    assert layers(popularity(EXAMPLE, 1, ())) == ["F E D C B G A"]


def test_an_ignored_path_is_removed_before_the_count() -> None:
    assert layers(popularity(EXAMPLE, 7, {path("A"), path("E")})) == ["F", "D", "C", "B", "G"]


def test_a_closure_without_paths_has_no_layers() -> None:
    assert popularity(closure(""), 3, ()) == ()
