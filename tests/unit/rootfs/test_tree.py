"""The root file system as a value."""

from dataclasses import replace

import pytest

from lamina.core.nodes import Directory, Regular, Symlink
from lamina.errors import InvalidArgument
from lamina.rootfs.tree import Meta, Tree, parent_paths

FILE = Meta(0o644, 1, 2)


def regular(path: bytes) -> Regular:
    return Regular(path, False, 1, b"x")


def paths(tree: Tree) -> list[bytes]:
    return [node.path for node, _ in tree]


@pytest.fixture
def tree() -> Tree:
    tree = Tree()
    tree.put(regular(b"a/b/c"), FILE)
    tree.put(Symlink(b"a-b", b"a"), Meta(0o777))
    return tree


def test_missing_folders_are_made_and_nodes_are_sorted_folder_by_folder(tree: Tree) -> None:
    assert paths(tree) == [b"", b"a", b"a/b", b"a/b/c", b"a-b"]
    assert tree.meta(b"a/b") == Meta(0o755)
    assert tree.meta(b"a/b/c") == FILE
    assert tree.node(b"a/b/c") == regular(b"a/b/c")
    assert b"a" in tree
    assert b"b" not in tree
    assert tree.node(b"b") is None
    assert tree.meta(b"b") is None


def test_a_node_of_the_same_kind_is_replaced(tree: Tree) -> None:
    tree.put(Symlink(b"a/b/c", b"x"), Meta(0o777))
    assert tree.node(b"a/b/c") == Symlink(b"a/b/c", b"x")
    tree.put(Directory(b"a"), Meta(0o700))
    assert tree.meta(b"a") == Meta(0o700)
    assert len(paths(tree)) == 5


def test_a_folder_and_a_file_do_not_replace_each_other(tree: Tree) -> None:
    with pytest.raises(InvalidArgument, match="/a: got a folder there, expected a file"):
        tree.put(regular(b"a"), FILE)
    with pytest.raises(InvalidArgument, match="/a-b: got a symlink there, expected a folder"):
        tree.put(Directory(b"a-b"), FILE)
    with pytest.raises(InvalidArgument, match="/a/b/c/d: got a file at /a/b/c, expected a folder"):
        tree.put(regular(b"a/b/c/d"), FILE)


def test_a_node_is_removed_with_all_below_it(tree: Tree) -> None:
    assert paths(tree.without(b"a")) == [b"", b"a-b"]
    assert len(paths(tree)) == 5
    tree.remove(b"a/b")
    tree.remove(b"nothing")
    assert paths(tree) == [b"", b"a", b"a-b"]


def test_the_meta_of_a_file_or_folder_can_be_changed(tree: Tree) -> None:
    tree.change(b"a/b/c", lambda meta: replace(meta, mode=0o4755))
    tree.change(b"", lambda meta: replace(meta, uid=7))
    assert tree.meta(b"a/b/c") == Meta(0o4755, 1, 2)
    assert tree.meta(b"") == Meta(0o755, 7)
    with pytest.raises(InvalidArgument, match="/a-b: got a symlink to a, expected a file or folder"):
        tree.change(b"a-b", lambda meta: meta)
    with pytest.raises(InvalidArgument, match="/x: got nothing there"):
        tree.change(b"x", lambda meta: meta)


def test_the_folders_above_a_path_are_listed_from_the_top() -> None:
    assert list(parent_paths(b"a/b/c")) == [b"a", b"a/b"]
    assert list(parent_paths(b"a")) == []
