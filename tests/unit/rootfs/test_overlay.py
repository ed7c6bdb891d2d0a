"""A root overlaid on a base image: no folder of the base becomes hidden."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.core.nodes import Directory, Node, Regular, Symlink
from lamina.errors import FormatError
from lamina.rootfs.overlay import check_whiteouts, overlay_tree
from lamina.rootfs.tree import Meta, Tree

FOLDER = Meta(0o755)


@dataclass(frozen=True)
class Base:
    """A base root that maps a path to a folder's `Meta`, a symlink's target or a file's bytes."""

    entries: Mapping[bytes, Meta | bytes | None]

    def folder(self, path: bytes) -> Meta | None:
        found = FOLDER if not path and path not in self.entries else self.entries.get(path)
        return found if isinstance(found, Meta) else None

    def link(self, path: bytes) -> Symlink | None:
        target = self.entries.get(path)
        return Symlink(path, target) if isinstance(target, bytes) else None

    def exists(self, path: bytes) -> bool:
        return not path or path in self.entries

    def resolve(self, path: bytes) -> bytes:
        done: list[bytes] = []
        left = path.split(b"/")[::-1]
        for _ in range(200):
            if not left:
                break
            part = left.pop()
            if part == b"..":
                done = done[:-1]
            elif part not in (b"", b"."):
                target = self.entries.get(b"/".join([*done, part]))
                if isinstance(target, bytes):
                    done = [] if target.startswith(b"/") else done
                    left += target.split(b"/")[::-1]
                else:
                    done.append(part)
        return b"/".join(done)


DEBIAN = Base(
    {
        b"": Meta(0o755),
        b"bin": b"usr/bin",
        b"sbin": b"/usr/sbin",
        b"lib": b"usr/lib",
        b"usr": Meta(0o755),
        b"usr/bin": Meta(0o755),
        b"usr/sbin": Meta(0o755),
        b"usr/lib": Meta(0o755),
        b"tmp": Meta(0o1777),
        b"root": Meta(0o700),
        b"srv": Meta(0o750, 33, 33),
        b"etc": Meta(0o755),
        b"etc/passwd": None,
        b"var": Meta(0o755),
        b"var/run": b"/run",
        b"etc/mtab": b"passwd",
    }
)


def tree(*nodes: Node | tuple[Node, Meta]) -> Tree:
    made = Tree()
    for item in nodes:
        node, meta = item if isinstance(item, tuple) else (item, FOLDER)
        made.put(node, meta)
    return made


def overlay(
    *nodes: Node | tuple[Node, Meta], base: Base = DEBIAN, content_links: Iterable[Node] = ()
) -> dict[str, object]:
    """Overlay the tree; return a folder's `Meta`, a symlink's target or a file's bytes by path."""
    made, warnings = overlay_tree(tree(*nodes), base, list(content_links))
    found: dict[str, object] = {}
    for node, meta in made:
        name = "/" + node.path.decode()
        match node:
            case Directory():
                found[name] = meta
            case Symlink():
                found[name] = node.target.decode()
            case Regular():
                found[name] = node.content
    if warnings:
        found["warnings"] = warnings
    return found


def link(path: bytes, target: bytes = b"/nix/store/x") -> Symlink:
    return Symlink(path, target)


def test_a_folder_is_moved_to_where_the_bases_symlink_leads() -> None:
    """nixpkgs #129007: ``/bin`` as a folder hid the programs of a base whose ``/bin`` is a symlink."""
    found = overlay(link(b"bin/hello"), link(b"sbin/fsck"), link(b"opt/x"))
    assert found == {
        "/": FOLDER,
        "/usr": FOLDER,
        "/usr/bin": FOLDER,
        "/usr/bin/hello": "/nix/store/x",
        "/usr/sbin": FOLDER,
        "/usr/sbin/fsck": "/nix/store/x",
        "/opt": FOLDER,
        "/opt/x": "/nix/store/x",
    }


def test_a_moved_relative_symlink_still_leads_to_the_same_path() -> None:
    found = overlay(link(b"bin/a", b"b"), link(b"bin/c", b"../share/c"), link(b"lib/d/e", b"../../bin/a"))
    assert found["/usr/bin/a"] == "b"
    assert found["/usr/bin/c"] == "../../share/c"
    assert found["/usr/lib/d/e"] == "../../../bin/a"


def test_a_folder_of_the_base_keeps_its_mode_and_owner_unless_another_was_given() -> None:
    found = overlay(
        link(b"tmp/x"), link(b"srv/www/x"), (Directory(b"root"), Meta(0o711)), (Directory(b"etc"), Meta(0o755, 5))
    )
    assert found["/tmp"] == Meta(0o1777)
    assert found["/srv"] == Meta(0o750, 33, 33)
    assert found["/srv/www"] == FOLDER
    assert found["/root"] == Meta(0o711)
    assert found["/etc"] == Meta(0o755, 5)


def test_the_missing_folder_that_a_symlink_leads_to_is_created() -> None:
    found = overlay(link(b"var/run/pid"))
    assert found == {"/": FOLDER, "/run": FOLDER, "/run/pid": "/nix/store/x", "/var": FOLDER}


def test_a_folder_replaces_a_symlink_to_a_file() -> None:
    assert overlay(link(b"etc/mtab/x"))["/etc/mtab"] == FOLDER


def test_a_symlink_of_contents_does_not_hide_a_folder_of_the_base_but_a_declared_one_may() -> None:
    hiding = link(b"tmp", b"var/tmp")
    assert overlay(hiding)["/tmp"] == "var/tmp"
    found = overlay(hiding, content_links=[hiding])
    assert "/tmp" not in found
    assert found["warnings"] == ("/tmp: the base image has a folder there, left out the link of contents",)


def test_a_symlink_of_contents_does_not_replace_the_bases_symlink_to_a_folder() -> None:
    """Many packages have ``sbin -> bin`` and ``lib64 -> lib``.

    The folder behind the base's ``lib64`` has the loader of every program.
    """
    links = [link(b"sbin", b"bin"), link(b"lib", b"lib64")]
    found = overlay(*links, link(b"bin/x"), content_links=links)
    assert "/sbin" not in found
    assert "/lib" not in found
    assert len(found["warnings"]) == 2  # type: ignore[arg-type]
    same = link(b"bin", b"usr/bin")
    assert overlay(same, content_links=[same])["/bin"] == "usr/bin"


def test_a_node_that_is_moved_onto_another_is_left_out_with_a_warning() -> None:
    found = overlay(link(b"bin/x", b"/1"), link(b"usr/bin/x", b"/2"), link(b"bin/y", b"/3"), link(b"usr/bin/y", b"/3"))
    assert found["/usr/bin/y"] == "/3"
    assert found["/usr/bin/x"] in ("/1", "/2")
    assert len(found["warnings"]) == 1  # type: ignore[arg-type]


def test_over_a_base_without_links_nothing_moves() -> None:
    nodes: list[Node | tuple[Node, Meta]] = [
        link(b"bin/a"),
        link(b"usr/bin/b", b"../c"),
        (Regular(b"f", False, 1, b"x"), Meta(0o600, 5, 6)),
    ]
    assert overlay(*nodes, base=Base({}))["/f"] == b"x"
    made, warnings = overlay_tree(tree(*nodes), Base({}), ())
    assert (list(made), warnings) == (list(tree(*nodes)), ())


@pytest.mark.parametrize("loop", [b"bin", b"../bin", b"/bin"])
def test_a_symlink_to_itself_causes_no_endless_loop(loop: bytes) -> None:
    assert overlay(link(b"bin/x"), base=Base({b"bin": loop})) == {"/": FOLDER, "/x": "/nix/store/x"}


@pytest.mark.parametrize("path", [b".wh.etc", b"etc/.wh.passwd", b"etc/.wh..wh..opq"])
def test_a_whiteout_hides_files_of_a_base_image_and_is_refused_without_one(path: bytes) -> None:
    made = tree(Regular(path, False, 0, b""))
    check_whiteouts(made, over_base=True)
    with pytest.raises(
        FormatError, match=r"got a name that begins with \.wh\., expected such a name only for hiding files of"
    ):
        check_whiteouts(made, over_base=False)


@pytest.mark.parametrize(
    "path", [b".wh.nix", b".wh..wh..opq", b"nix/.wh.store", b"nix/.wh..wh..opq", b"nix/store/.wh.x", b".wh.x/y"]
)
def test_a_whiteout_does_not_hide_the_store(path: bytes) -> None:
    with pytest.raises(FormatError, match=r"it deletes files of the layers below"):
        check_whiteouts(tree(Regular(path, False, 0, b"")), over_base=True)


NAMES = st.sampled_from([b"bin", b"usr", b"lib", b"a", b"b"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(b"/".join)


@given(st.dictionaries(PATHS, st.sampled_from([b"a", b"b", b"../a", b"/x"]), max_size=5))
def test_every_symlink_is_found_at_the_path_that_it_was_given(links: dict[bytes, bytes]) -> None:
    """A container sees the root's ``bin/x`` at ``/bin/x``, wherever ``/bin`` leads in the base."""
    made = Tree()
    for path, target in links.items():
        above = [made.node(path[:end]) for end, byte in enumerate(path) if byte == ord("/")]
        if made.node(path) is None and not any(isinstance(node, Symlink) for node in above):
            made.put(Symlink(path, target), Meta(0o777))
    base = Base({b"bin": b"usr/bin", b"usr": FOLDER, b"usr/bin": FOLDER, b"lib": b"/usr/lib", b"usr/lib": FOLDER})
    over, warnings = overlay_tree(made, base, ())
    for node, _ in made:
        if isinstance(node, Symlink) and not warnings:
            folder = base.resolve(posixpath.dirname(node.path))
            assert over.node(posixpath.join(folder, posixpath.basename(node.path)).lstrip(b"/")) is not None
