"""The symlink tree: nixpkgs' symlinkJoin (X.Org's lndir), with a warning for what lndir skips silently."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.support.fake_nix_store import Item, Program, SymlinkTo, put, store_path

from lamina.core.names import STORE_DIR, StorePath, StoreSubpath
from lamina.core.nodes import Directory, Symlink
from lamina.errors import InvalidArgument, NotFound
from lamina.rootfs.symlink_tree import build_symlink_tree
from lamina.rootfs.tree import Meta
from lamina.stores.local.folder import FolderStore


class Inputs:
    """A store folder to join from."""

    def __init__(self, root: Path) -> None:
        self.store = root / "nix/store"
        self.store.mkdir(parents=True)
        self.folder = FolderStore(root)

    def add(self, name: str, item: Item) -> StorePath:
        path = store_path(name)
        put(self.store / path.base, item)
        return path

    def join(self, *contents: StorePath | str) -> tuple[dict[str, str | None], tuple[str, ...]]:
        """Return the target of each symlink and None for each folder, by path, and the warnings."""
        tree, warnings = build_symlink_tree(
            [StoreSubpath.parse(str(content)) for content in contents], self.folder.nodes
        )
        found: dict[str, str | None] = {}
        for node, meta in tree:
            assert meta == (Meta(0o777) if isinstance(node, Symlink) else Meta(0o755))
            assert isinstance(node, Symlink | Directory)
            found[os.fsdecode(node.path)] = os.fsdecode(node.target) if isinstance(node, Symlink) else None
        assert found.pop("") is None
        return found, warnings


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    return Inputs(tmp_path)


# One input


def test_nothing_is_an_empty_root(inputs: Inputs) -> None:
    assert inputs.join() == ({}, ())


def test_files_become_symlinks_to_the_store_and_folders_stay_folders(inputs: Inputs) -> None:
    a = inputs.add("a", {"bin": {"tool": Program(b"x")}, "etc": {"deep": {"conf": b""}}, "top": b""})
    tree = {
        "bin": None,
        "bin/tool": f"{a}/bin/tool",
        "etc": None,
        "etc/deep": None,
        "etc/deep/conf": f"{a}/etc/deep/conf",
    }
    assert inputs.join(a) == (tree | {"top": f"{a}/top"}, ())


def test_empty_folders_are_kept(inputs: Inputs) -> None:
    a = inputs.add("a", {"empty": {}, "var": {"empty": {}}})
    assert inputs.join(a) == ({"empty": None, "var": None, "var/empty": None}, ())


@pytest.mark.parametrize(
    "target", ["bin", "../x", "/nix/store/elsewhere", "/etc/passwd", "no such", ".", "sbin/../bin"]
)
def test_symlinks_are_copied_unchanged(inputs: Inputs, target: str) -> None:
    a = inputs.add("a", {"bin": {}, "sbin": SymlinkTo(target)})
    assert inputs.join(a) == ({"bin": None, "sbin": target}, ())


def test_names_that_are_not_utf8_are_kept(inputs: Inputs) -> None:
    a = inputs.add("a", {b"\xff": b"", "é": SymlinkTo(b"\xfe")})
    assert inputs.join(a) == ({os.fsdecode(b"\xff"): f"{a}/" + os.fsdecode(b"\xff"), "é": os.fsdecode(b"\xfe")}, ())


@pytest.mark.parametrize("name", ["backup~", "~", ".#lock~"])
@pytest.mark.parametrize("item", [b"", SymlinkTo("x"), {"inner": b""}], ids=["file", "link", "folder"])
def test_names_that_end_in_a_tilde_are_left_out(inputs: Inputs, name: str, item: Item) -> None:
    a = inputs.add("a", {name: item, "bin": {"kept": b""}, name + "kept": b""})
    tree, warnings = inputs.join(a)
    assert tree == {"bin": None, "bin/kept": f"{a}/bin/kept", name + "kept": f"{a}/{name}kept"}
    assert warnings == (f"/{name} of {a}: left out, as symlinkJoin does with such names",)


@pytest.mark.parametrize("name", ["BitKeeper", "RCS", "SCCS", "CVS", "CVS.adm", ".svn"])
def test_folders_of_old_version_control_are_left_out_and_files_of_that_name_are_not(inputs: Inputs, name: str) -> None:
    a = inputs.add("a", {"src": {name: {"entries": b"", "deep": {"x": b""}}, name + "2": {}}, "doc": {name: b""}})
    tree, warnings = inputs.join(a)
    assert tree == {"src": None, f"src/{name}2": None, "doc": None, f"doc/{name}": f"{a}/doc/{name}"}
    assert warnings == (f"/src/{name} of {a}: left out, as symlinkJoin does with such names",)


def test_a_name_that_begins_like_an_ignored_one_is_kept(inputs: Inputs) -> None:
    a = inputs.add("a", {"CVS": {"x": b""}, "CVS-x": b"", "CVSx": {"x": b""}, "CVS.d": {}})
    assert inputs.join(a)[0].keys() == {"CVS-x", "CVSx", "CVSx/x", "CVS.d"}


# Several inputs


def test_folders_merge(inputs: Inputs) -> None:
    a = inputs.add("a", {"bin": {"a": b""}, "share": {"doc": {"a": b""}}})
    b = inputs.add("b", {"bin": {"b": b""}, "share": {"doc": {"b": b""}, "man": {}}})
    tree, warnings = inputs.join(a, b)
    links = {name: target for name, target in tree.items() if target}
    assert links == {
        "bin/a": f"{a}/bin/a",
        "bin/b": f"{b}/bin/b",
        "share/doc/a": f"{a}/share/doc/a",
        "share/doc/b": f"{b}/share/doc/b",
    }
    assert set(tree) - set(links) == {"bin", "share", "share/doc", "share/man"}
    assert warnings == ()


def test_the_first_input_wins_and_the_warning_names_both(inputs: Inputs) -> None:
    a, b = (inputs.add(name, {"bin": {"sh": b"", name: b""}}) for name in "ab")
    tree, (warning,) = inputs.join(b, a)
    assert tree == {"bin": None, "bin/sh": f"{b}/bin/sh", "bin/a": f"{a}/bin/a", "bin/b": f"{b}/bin/b"}
    assert warning.startswith("/bin/sh: ")
    assert str(a) in warning
    assert str(b) in warning


def test_the_warning_about_a_third_input_names_the_first_and_not_the_second(inputs: Inputs) -> None:
    a, b, c = (inputs.add(name, {"x": b""}) for name in "abc")
    _, warnings = inputs.join(a, b, c)
    assert [(str(a) in text, str(b) in text, str(c) in text) for text in warnings] == [
        (True, True, False),
        (True, False, True),
    ]


def test_the_same_input_twice_is_no_clash(inputs: Inputs) -> None:
    a = inputs.add("a", {"bin": {"x": b""}, "link": SymlinkTo("bin")})
    assert inputs.join(a, a) == inputs.join(a)


def test_equal_links_are_no_clash_and_different_ones_are(inputs: Inputs) -> None:
    a, b = (inputs.add(name, {"same": SymlinkTo("bin"), "other": SymlinkTo(name)}) for name in "ab")
    tree, (warning,) = inputs.join(a, b)
    assert tree == {"same": "bin", "other": "a"}
    assert warning.startswith("/other: ")


def test_a_folder_does_not_replace_a_symlink_and_its_content_is_skipped(inputs: Inputs) -> None:
    a = inputs.add("a", {"bin": {"a": b""}, "sbin": SymlinkTo("bin")})
    b = inputs.add("b", {"sbin": {"b": b"", "deep": {"c": b""}}, "sbin2": b""})
    tree, (warning,) = inputs.join(a, b)
    assert tree == {"bin": None, "bin/a": f"{a}/bin/a", "sbin": "bin", "sbin2": f"{b}/sbin2"}
    assert warning.startswith("/sbin: ")
    assert "below" in warning
    assert str(a) in warning
    assert str(b) in warning


def test_a_folder_does_not_replace_a_file(inputs: Inputs) -> None:
    a, b = inputs.add("a", {"x": b""}), inputs.add("b", {"x": {"y": b""}})
    tree, (warning,) = inputs.join(a, b)
    assert tree == {"x": f"{a}/x"}
    assert warning.startswith("/x: ")


@pytest.mark.parametrize("item", [b"", SymlinkTo("elsewhere")], ids=["file", "link"])
def test_nothing_replaces_a_folder(inputs: Inputs, item: Item) -> None:
    a, b = inputs.add("a", {"x": {"y": b""}}), inputs.add("b", {"x": item})
    tree, (warning,) = inputs.join(a, b)
    assert tree == {"x": None, "x/y": f"{a}/x/y"}
    assert warning.startswith("/x: ")


def test_the_order_of_inputs_that_do_not_clash_does_not_matter(inputs: Inputs) -> None:
    a = inputs.add("a", {"bin": {"a": b""}, "same": SymlinkTo("bin")})
    b = inputs.add("b", {"bin": {"b": b""}, "same": SymlinkTo("bin")})
    assert inputs.join(a, b) == inputs.join(b, a)


# Inputs that are not folders, and folders inside store paths


@pytest.mark.parametrize("inside", ["", "/bin/tool"])
def test_a_file_as_input_is_an_error_with_a_hint(inputs: Inputs, inside: str) -> None:
    path = inputs.add("a", {"bin": {"tool": b""}} if inside else b"")
    with pytest.raises(
        InvalidArgument, match=rf"contents: got {path}{inside}, which is a file, expected a folder"
    ) as caught:
        inputs.join(f"{path}{inside}")
    assert "--closure" in caught.value.hint


def test_a_folder_inside_is_linked_as_given(inputs: Inputs) -> None:
    a = inputs.add("a", {"share": {"web": {"index": b"", "css": {"x": b""}}}, "share2": {"no": b""}})
    tree = {"index": f"{a}/share/web/index", "css": None, "css/x": f"{a}/share/web/css/x"}
    for spelling in ("share/web", "share//web/", "/share/web"):
        assert inputs.join(f"{a}/{spelling}") == (tree, ())


@pytest.mark.parametrize("inside", ["no", "bin/no", "bin/tool/no", "bin/to", "\x07", "\udcff"])
def test_a_missing_folder_inside_a_store_path_is_not_found(inputs: Inputs, inside: str) -> None:
    a = inputs.add("a", {"bin": {"tool": b""}})
    with pytest.raises(NotFound, match="expected it to exist in the store"):
        inputs.join(f"{a}/{inside}")


def test_a_folder_inside_may_have_any_name(inputs: Inputs) -> None:
    a = inputs.add("a", {b"\xff": {"x": b""}, "ä": {"y": b""}})
    assert inputs.join(os.fsdecode(b"%s/\xff" % str(a).encode()), f"{a}/ä")[0].keys() == {"x", "y"}


# Inputs that are symlinks


def test_a_link_to_another_store_path_is_followed_and_kept_in_the_targets(inputs: Inputs) -> None:
    a = inputs.add("a", {"bin": {"x": b""}})
    for target in (str(a), a.base, f"./../store/{a.base}/", f"../../nix/store/{a.base}"):
        b = inputs.add(f"b{len(target)}", SymlinkTo(target))
        assert inputs.join(b) == ({"bin": None, "bin/x": f"{b}/bin/x"}, ())


def test_links_on_the_way_to_a_folder_inside_are_followed(inputs: Inputs) -> None:
    a = inputs.add("a", {"real": {"bin": {"x": b""}}, "short": SymlinkTo("real"), "up": SymlinkTo("real/bin/..")})
    b = inputs.add("b", {"here": SymlinkTo(f"{a}/short"), "chain": SymlinkTo("here")})
    assert inputs.join(f"{a}/short/bin") == ({"x": f"{a}/short/bin/x"}, ())
    assert inputs.join(f"{b}/chain/bin") == ({"x": f"{b}/chain/bin/x"}, ())
    assert inputs.join(f"{a}/up") == ({"bin": None, "bin/x": f"{a}/up/bin/x"}, ())


def test_two_dots_after_a_symlink_are_relative_to_its_target(inputs: Inputs) -> None:
    a = inputs.add(
        "a",
        {"real": {"deep": {}, "found": {"x": b""}}, "link": SymlinkTo("real/deep"), "l": SymlinkTo("link/../found")},
    )
    assert inputs.join(f"{a}/l") == ({"x": f"{a}/l/x"}, ())


@pytest.mark.parametrize("target", ["self", "./self", "other"])
def test_links_in_circles_are_an_error(inputs: Inputs, target: str) -> None:
    a = inputs.add("a", {"self": SymlinkTo(target), "other": SymlinkTo("self")})
    with pytest.raises(InvalidArgument, match=r"which leads through 41 symlinks, expected fewer"):
        inputs.join(f"{a}/self")


OUTSIDE = [
    "/etc",
    "/",
    "../../etc",
    "../..",
    ".",
    "../../../../../etc",
    STORE_DIR,
    "/nix/store/..",
    "/nix/storefront/x",
    "/nix",
]


@pytest.mark.parametrize("target", OUTSIDE)
def test_a_link_that_leads_out_of_the_store_is_an_error(inputs: Inputs, target: str) -> None:
    a = inputs.add("a", SymlinkTo(target))
    with pytest.raises(
        InvalidArgument, match=rf"contents: got {a}, which leads to .*, expected a path inside {STORE_DIR}/"
    ):
        inputs.join(a)


def test_a_symlink_to_a_name_that_is_not_a_store_path_is_an_error(inputs: Inputs) -> None:
    a = inputs.add("a", {"x": SymlinkTo("/nix/store/.links/y"), "y": SymlinkTo(str(store_path("missing")))})
    with pytest.raises(
        InvalidArgument, match=rf"contents: got {a}/x, which leads to /nix/store/\.links, expected a path"
    ):
        inputs.join(f"{a}/x")
    with pytest.raises(NotFound, match="got nothing there"):
        inputs.join(f"{a}/y")


def test_a_link_to_a_file_is_a_file(inputs: Inputs) -> None:
    a = inputs.add("a", {"file": b"", "link": SymlinkTo("file"), "dangling": SymlinkTo("no")})
    with pytest.raises(InvalidArgument, match=rf"{a}/link, which is a file"):
        inputs.join(f"{a}/link")
    with pytest.raises(NotFound, match=rf"got {a}/dangling, which leads to {a}/no, expected it to exist in the store"):
        inputs.join(f"{a}/dangling")


def test_a_symlink_with_a_target_that_is_not_utf8_is_followed(inputs: Inputs) -> None:
    a = inputs.add("a", {b"\xff": {"x": b""}, "link": SymlinkTo(b"\xff")})
    assert inputs.join(f"{a}/link") == ({"x": f"{a}/link/x"}, ())
