"""Nodes and the extents of files that they consist of."""

import pytest

from lamina.core.nodes import Directory, Extent, Node, Regular, Symlink, is_utf8, select_subtree

NODES: list[Node] = [Directory(b""), Directory(b"a"), Regular(b"a/b", False, 1, b"x"), Symlink(b"ab", b"a")]


def test_a_part_of_an_extent_keeps_the_size_and_the_time_of_the_file() -> None:
    whole = Extent.whole(b"/f", 10, 5)
    assert whole == Extent(b"/f", 0, 10, 10, 5)
    assert whole.part(2, 6).part(1, 3) == Extent(b"/f", 3, 3, 10, 5)


@pytest.mark.parametrize(
    ("folder", "expected"),
    [(b"", [b"", b"a", b"a/b", b"ab"]), (b"a", [b"a", b"a/b"]), (b"a/b", [b"a/b"]), (b"none", [])],
)
def test_a_subtree_is_a_folder_and_what_is_below_it(folder: bytes, expected: list[bytes]) -> None:
    assert [node.path for node in select_subtree(NODES, folder)] == expected


def test_text_is_utf8_or_not() -> None:
    assert is_utf8(b"ascii")
    assert is_utf8("é".encode())
    assert not is_utf8(b"\xff")
