"""The bytes of the customisation layer are those that GNU tar makes from a folder with the same tree."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from tests.support.examples import examples
from tests.support.factories import Item as RandomItem
from tests.support.factories import folders, packed_bytes, write
from tests.support.fake_nix_store import Program, SymlinkTo, put

from lamina.core.nodes import Directory, Regular, Symlink
from lamina.errors import InvalidArgument
from lamina.rootfs.entries import Dir, File, Perm
from lamina.rootfs.layer import RootLayer
from lamina.rootfs.tree import Meta, Tree
from lamina.system.walk import walk_with_modes

_TAR = ("--format=gnu", "--sort=name", "--numeric-owner", "--mtime=@315532800", "--hard-dereference", "-c", ".")


def gnu_tar() -> str:
    for name in ("tar", "gtar"):
        found = shutil.which(name)
        if found and b"GNU tar" in subprocess.run([found, "--version"], check=True, stdout=subprocess.PIPE).stdout:
            return found
    pytest.skip("GNU tar is not installed")


def oracle(folder: Path, *options: str) -> bytes:
    """Return the archive that GNU tar makes of ``folder``."""
    done = subprocess.run([gnu_tar(), *options, *_TAR], cwd=folder, check=True, stdout=subprocess.PIPE)
    return done.stdout


def tree_of(folder: Path) -> Tree:
    """Return the tree on disk with its modes and owners."""
    tree = Tree()
    for node, mode in walk_with_modes(os.fsencode(folder)):
        status = os.lstat(os.path.join(os.fsencode(folder), node.path))
        tree.put(node, Meta(mode, status.st_uid, status.st_gid))
    return tree


def layer_of(folder: Path) -> bytes:
    packed = RootLayer(tree_of(folder)).pack()
    data = packed_bytes(packed)
    assert len(data) == packed.size
    return data


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    made = tmp_path / "root"
    made.mkdir(mode=0o755)
    made.chmod(0o755)
    yield made
    subprocess.run(["chmod", "-R", "u+rwx", made], check=True)


# GNU tar is the oracle


def test_an_empty_root_is_one_folder(folder: Path) -> None:
    assert layer_of(folder) == oracle(folder)
    assert len(layer_of(folder)) == 10240


NAMES: list[str | bytes] = [
    "b",
    "a",
    "a-b",
    "a.b",
    "A",
    "é",
    " ",
    "-x",
    "new\nline",
    b"\xff\xfe",
    "tab\t",
    "'",
    "\\",
    "☃" * 40,
]


def test_names_are_in_the_order_of_their_bytes(folder: Path) -> None:
    for name in NAMES:
        put(folder / os.fsdecode(name), {"inner": b"x", "-": SymlinkTo("y")})
    for name in NAMES:
        put(os.fsencode(folder) + b"/f-" + os.fsencode(name), b"z")
    assert layer_of(folder) == oracle(folder)


@pytest.mark.parametrize("length", [*range(90, 104), 198, 200, 255])
def test_long_names_and_targets_are_gnus(folder: Path, length: int) -> None:
    put(folder / ("n" * length), b"file")
    put(folder / ("d" * length), {"x" * 255: b"", "l" * 100: SymlinkTo("t" * length)})
    put(folder / "link", SymlinkTo("t/" * (length // 2) + "t" * (length % 2)))
    put(folder / "longest", SymlinkTo("t" * 4000))
    assert layer_of(folder) == oracle(folder)


MODES = [0o000, 0o400, 0o444, 0o600, 0o644, 0o755, 0o777, 0o1777, 0o2755, 0o4755, 0o6711, 0o7777]


def test_all_mode_bits_are_kept(folder: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root: to read files of any mode")
    for mode in MODES:
        for name, item in ((f"file-{mode:o}", b"x"), (f"folder-{mode:o}", {"inner": b""})):
            put(folder / name, item)
            (folder / name).chmod(mode)
    folder.chmod(0o1700)
    assert layer_of(folder) == oracle(folder)


OWNERS = [(0, 0), (1, 2), (1000, 100), (65534, 65534), (2097151, 2097152), (3_000_000, 0), (2**31, 2**32 - 2)]


def test_owners_are_numbers_of_any_size(folder: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root: to give files away")
    for uid, gid in OWNERS:
        for name, item in ((f"f{uid}", b"x"), (f"d{uid}", {}), (f"l{uid}", SymlinkTo("x"))):
            put(folder / name, item)
            os.lchown(folder / name, uid, gid)
    os.chown(folder, 5, 6)
    assert layer_of(folder) == oracle(folder)


def test_hard_links_become_separate_files(folder: Path) -> None:
    put(folder / "a", b"x" * 1000)
    for name in ("b", "n" * 120):
        os.link(folder / "a", folder / name)
    put(folder / "link", SymlinkTo("a"))
    os.link(folder / "link", folder / "link2", follow_symlinks=False)
    assert layer_of(folder) == oracle(folder)


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 10240 - 1536, 10240 - 1535, 1 << 20, (1 << 20) + 1])
def test_the_end_is_padded_like_gnus(folder: Path, size: int) -> None:
    put(folder / "file", os.urandom(size))
    assert layer_of(folder) == oracle(folder)


def test_a_file_of_more_than_eight_gigabytes_has_gnus_size(folder: Path) -> None:
    large = folder / "large"
    large.touch()
    os.truncate(large, (8 << 30) + 1)
    packed = RootLayer(tree_of(folder)).pack()
    (_, ours, *_) = packed.pieces
    with subprocess.Popen([gnu_tar(), *_TAR], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as tar:
        assert tar.stdout
        theirs = tar.stdout.read(1024)[512:]
        tar.kill()
    assert ours == theirs
    assert packed.size == 10240 * -((1024 + (8 << 30) + 512 + 1024) // -10240)


@settings(examples(15), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(folders())
def test_any_tree_is_packed_as_gnu_tar_packs_it(tmp_path: Path, item: RandomItem) -> None:
    """The rule: ``tar --format=gnu --sort=name --numeric-owner --mtime=@315532800 --hard-dereference -c .``."""
    tree = tmp_path / "tree"
    try:
        write(item, os.fsencode(tree))
        assert layer_of(tree) == oracle(tree)
    finally:
        subprocess.run(["rm", "-rf", tree], check=True)


def test_python_reads_it_back(folder: Path) -> None:
    put(folder / "bin", {"tool": Program(b"#!"), "n" * 150: b"long", "sh": SymlinkTo("t" * 150)})
    with tarfile.open(fileobj=io.BytesIO(layer_of(folder))) as archive:
        members = archive.getmembers()
    assert [member.name for member in members] == [".", "./bin", "./bin/" + "n" * 150, "./bin/sh", "./bin/tool"]
    assert {member.mtime for member in members} == {315532800}


# Declared entries


def test_declared_entries_are_packed_like_files_on_disk(folder: Path, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root: to give files away")
    source = tmp_path / "source"
    source.write_bytes(b"key = value\n")
    tree = Tree()
    tree.put(Symlink(b"bin", b"usr/bin"), Meta(0o777))
    for entry in (
        Dir("/", 0o711),
        Dir("/tmp", 0o1777),
        Dir("/home/app", 0o700, 1000, 100),
        File("/etc/conf", str(source), 0o640, 0, 42),
        File("/etc/setuid", str(source), 0o4755),
        Perm("/home", 0o750, 7, 8),
    ):
        entry.apply(tree)

    old = os.umask(0o022)
    try:
        (folder / "bin").symlink_to("usr/bin")
        for name in ("tmp", "home", "home/app", "etc"):
            (folder / name).mkdir()
        for name in ("etc/conf", "etc/setuid"):
            (folder / name).write_bytes(b"key = value\n")
        for name, uid, gid, mode in (
            ("tmp", 0, 0, 0o1777),
            ("home/app", 1000, 100, 0o700),
            ("home", 7, 8, 0o750),
            ("etc/conf", 0, 42, 0o640),
            ("etc/setuid", 0, 0, 0o4755),
            ("", 0, 0, 0o711),
        ):
            os.chown(folder / name, uid, gid)
            (folder / name).chmod(mode)
    finally:
        os.umask(old)
    assert packed_bytes(RootLayer(tree).pack()) == oracle(folder)


# The tree as a value


def test_a_tree_has_a_root_and_folders_above_everything() -> None:
    tree = Tree()
    tree.put(Regular(b"a/b/c", False, 0, b""), Meta(0o600))
    assert [(node, meta.mode) for node, meta in tree] == [
        (Directory(b""), 0o755),
        (Directory(b"a"), 0o755),
        (Directory(b"a/b"), 0o755),
        (Regular(b"a/b/c", False, 0, b""), 0o600),
    ]
    assert b"a/b" in tree
    assert b"a/c" not in tree
    assert tree.node(b"a/c") is None


def test_a_tree_yields_parents_first_and_siblings_in_the_order_of_their_bytes() -> None:
    tree = Tree()
    for path in (b"a.b/x", b"a/x", b"a-b/x", b"\xff", b"Z"):
        tree.put(Symlink(path, b"t"), Meta(0o777))
    order = [b"", b"Z", b"a", b"a/x", b"a-b", b"a-b/x", b"a.b", b"a.b/x", b"\xff"]
    assert [node.path for node, _ in tree] == order


@pytest.mark.parametrize("path", [b"a/b", b"a/b/c"])
def test_only_a_folder_has_nodes_below_it(path: bytes) -> None:
    tree = Tree()
    tree.put(Symlink(b"a", b"t"), Meta(0o777))
    with pytest.raises(InvalidArgument, match="got a symlink at /a, expected a folder"):
        tree.put(Directory(path), Meta(0o755))
    assert [node.path for node, _ in tree] == [b"", b"a"]


def test_packing_twice_gives_the_same_bytes(folder: Path) -> None:
    put(folder / "x", b"1")
    layer = RootLayer(tree_of(folder))
    first, second = (hashlib.sha256(packed_bytes(layer.pack())).digest() for _ in range(2))
    assert first == second
    assert layer.paths == ()
    assert layer.headline(7) == "Creating layer 7 with customisation..."
