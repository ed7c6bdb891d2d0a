"""Customisation layers that wait to be written share the memory of equal entries, and hold no temporary folder each."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.support.factories import packed_bytes

from lamina.core.nodes import Extent, Regular, Symlink
from lamina.errors import OutputError
from lamina.rootfs.kept_roots import KeptRoots
from lamina.rootfs.layer import RootLayer
from lamina.rootfs.tree import Meta, Tree
from lamina.system.tempdir import TempDir


def linked_tree(*names: bytes) -> Tree:
    tree = Tree()
    for name in names:
        tree.put(Symlink(b"bin/" + name, b"/nix/store/" + name), Meta(0o777))
    return tree


def scripted_root(content: bytes) -> RootLayer:
    """Return a root with a file in a temporary folder, as scripts leave it."""
    workspace = TempDir()
    file = workspace.path / "made"
    file.write_bytes(content)
    tree = Tree()
    made = Extent.whole(os.fsencode(file), len(content), file.stat().st_mtime_ns)
    tree.put(Regular(b"made", False, len(content), made), Meta(0o644))
    return RootLayer(tree, workspace)


def test_equal_entries_of_two_trees_are_one() -> None:
    with ExitStack() as resources:
        kept = KeptRoots(resources)
        trees = [linked_tree(b"git", b"ssh"), linked_tree(b"git", b"curl")]
        expected = [packed_bytes(RootLayer(tree).pack()) for tree in trees]
        layers = [kept.keep(RootLayer(tree)) for tree in trees]
        assert [packed_bytes(layer.pack()) for layer in layers] == expected
        first, second = ({node.path: node for node, _ in tree} for tree in trees)
        assert first[b"bin/git"] is second[b"bin/git"]
        assert first[b"bin"] is second[b"bin"]


def test_a_root_of_a_script_gives_the_same_bytes_after_its_folder_is_removed() -> None:
    with ExitStack() as resources:
        kept, root = KeptRoots(resources), scripted_root(b"x" * 10_000)
        assert root.workspace
        expected, comment = packed_bytes(root.pack()), root.comment
        layer = kept.keep(root)
        assert not root.workspace.path.exists()
        assert packed_bytes(layer.pack()) == expected
        assert (layer.comment, layer.name) == (comment, root.name)


def test_many_roots_of_scripts_need_no_file_descriptor_each() -> None:
    with ExitStack() as resources:
        kept = KeptRoots(resources)
        layers = [kept.keep(scripted_root(b"%d" % number)) for number in range(3)]
        few = len(os.listdir("/proc/self/fd"))
        layers += [kept.keep(scripted_root(b"%d" % number)) for number in range(30)]
        assert len(os.listdir("/proc/self/fd")) == few
        assert len({packed_bytes(layer.pack()) for layer in layers}) == 30


def test_the_files_are_removed_with_the_resources() -> None:
    with ExitStack() as resources:
        tar = KeptRoots(resources).keep(scripted_root(b"x")).find_tar()
        assert tar
        assert os.path.exists(tar.file)
    assert not os.path.exists(tar.file)


def test_a_folder_that_cannot_be_written_is_an_error_about_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with ExitStack() as resources:
        root = scripted_root(b"x")
        monkeypatch.setattr(Path, "open", refuse)
        with pytest.raises(OutputError, match="customisation layer: got No space left"):
            KeptRoots(resources).keep(root)
