"""A tree on disk as nodes, in NAR order; anything that a NAR cannot hold is an error."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.fake_nix_store import Item, Program, SymlinkTo, as_nobody, public_folder, put

from lamina.core.nodes import Directory, Extent, Node, Regular, Symlink
from lamina.errors import FormatError, IntegrityError, NotFound, Unavailable
from lamina.formats import nar
from lamina.system.transfer import hash_pieces
from lamina.system.walk import walk, walk_with_modes


@pytest.fixture
def top(tmp_path: Path) -> bytes:
    return os.fsencode(tmp_path / "top")


@pytest.fixture
def open_top() -> Iterator[bytes]:
    with public_folder() as folder:
        yield os.fsencode(folder / "top")


def names(top: bytes, *, case_hack: bool = False) -> list[bytes]:
    return [node.path for node in walk(top, case_hack=case_hack)]


# Order and content


def test_parents_come_first_and_siblings_are_sorted_by_bytes(top: bytes) -> None:
    put(
        top,
        {"b": b"", "a": {"z": b"", "-": b""}, "a-b": b"", "a.b": b"", "B": b"", "ä": b"", b"\xff": b"", b"\x01": b""},
    )
    order = [b"", b"\x01", b"B", b"a", b"a/-", b"a/z", b"a-b", b"a.b", b"b", "ä".encode(), b"\xff"]
    assert names(top) == order


def test_nodes_have_their_type_and_content(top: bytes) -> None:
    put(top, {"file": b"12345", "program": Program(b"#!"), "link": SymlinkTo(b"\xff/../x"), "folder": {}, "empty": b""})
    found: dict[bytes, Node] = {node.path: node for node in walk(top)}
    assert found[b"folder"] == Directory(b"folder")
    assert found[b"link"] == Symlink(b"link", b"\xff/../x")
    file, program, empty = found[b"file"], found[b"program"], found[b"empty"]
    assert isinstance(file, Regular)
    assert isinstance(program, Regular)
    assert isinstance(empty, Regular)
    assert (file.executable, file.size) == (False, 5)
    assert (program.executable, empty.size) == (True, 0)
    mtime_ns = os.stat(top + b"/file").st_mtime_ns
    assert file.content == Extent(top + b"/file", 0, 5, 5, mtime_ns)


@pytest.mark.parametrize("item", [b"content", Program(b"x"), SymlinkTo("elsewhere"), {}])
def test_a_store_path_need_not_be_a_folder(top: bytes, item: Item) -> None:
    put(top, item)
    assert names(top) == [b""]


@pytest.mark.parametrize("mode", [0o444, 0o644, 0o600, 0o000, 0o755, 0o555, 0o100, 0o011, 0o4755, 0o070])
def test_a_file_is_executable_if_its_owner_may_execute_it(top: bytes, mode: int) -> None:
    put(top, b"")
    os.chmod(top, mode)
    ((node, found),) = walk_with_modes(top)
    assert isinstance(node, Regular)
    assert (node.executable, found) == (bool(mode & 0o100), mode)


def test_no_file_is_opened(open_top: bytes) -> None:
    put(open_top, {"file": b"secret"})
    os.chmod(open_top + b"/file", 0)
    assert as_nobody(lambda: names(open_top)) == [b"", b"file"]


def test_broken_and_circular_links_are_links(top: bytes) -> None:
    put(
        top,
        {
            "nowhere": SymlinkTo("/no/such"),
            "self": SymlinkTo("self"),
            "up": SymlinkTo(".."),
            "folder": SymlinkTo("inner"),
            "inner": {"x": b""},
        },
    )
    assert names(top) == [b"", b"folder", b"inner", b"inner/x", b"nowhere", b"self", b"up"]


def test_hard_links_are_separate_files(top: bytes) -> None:
    put(top, {"a": b"same"})
    os.chmod(top, 0o755)
    os.link(top + b"/a", top + b"/b")
    assert [node.size for node in walk(top) if isinstance(node, Regular)] == [4, 4]


def test_a_sparse_file_has_its_full_length(top: bytes) -> None:
    put(top, b"")
    os.chmod(top, 0o644)
    os.truncate(top, 9 << 30)
    (node,) = walk(top)
    assert isinstance(node, Regular)
    assert node.size == 9 << 30


def test_paths_may_have_thousands_of_characters(top: bytes) -> None:
    folder = top
    for _ in range(15):
        os.mkdir(folder)
        folder += b"/" + b"d" * 200
    os.mkdir(folder)
    Path(os.fsdecode(folder), "file").write_bytes(b"here")
    assert len(folder) > 3000
    assert names(top)[-1].endswith(b"d/file")
    assert len(names(top)) == 17


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    """Create a folder that may get deeper than Python can remove."""
    folder = tmp_path / "deep"
    folder.mkdir()
    yield folder
    subprocess.run(["rm", "-rf", folder], check=True)


def test_trees_may_be_a_thousand_folders_deep(deep: Path) -> None:
    subprocess.run(["mkdir", "-p", "d/" * 1100], cwd=deep, check=True)
    assert len(names(os.fsencode(deep))) == 1101


def test_a_tree_deeper_than_path_max_is_an_error(deep: Path) -> None:
    level = "d" * 200
    subprocess.run(["sh", "-ec", f"for i in $(seq 25); do mkdir {level}; cd -P {level}; done"], cwd=deep, check=True)
    with pytest.raises(Unavailable, match=r"[d/]: got File name too long, expected a readable file or folder"):
        names(os.fsencode(deep))


def test_many_entries_in_one_folder(top: bytes) -> None:
    os.mkdir(top)
    for number in range(3000):
        os.close(os.open(top + b"/%d" % number, os.O_CREAT))
    assert names(top)[1:] == sorted(b"%d" % number for number in range(3000))


# Files that a NAR cannot hold


def _socket(path: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path)


def _pipe(path: bytes) -> None:
    os.mkfifo(path)


def _device(path: bytes) -> None:
    try:
        os.mknod(path, 0o20666, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("making a device needs root")


@pytest.mark.parametrize(
    ("make", "kind"), [(_socket, "a socket"), (_pipe, "a named pipe"), (_device, "a character device")]
)
@pytest.mark.parametrize("below", [b"", b"/inner"])
def test_a_special_file_is_a_format_error(
    tmp_path: Path, make: Callable[[bytes], None], kind: str, below: bytes
) -> None:
    top = os.fsencode(tmp_path / "t")
    if below:
        os.mkdir(top)
    make(top + below)
    with pytest.raises(FormatError, match=rf"t{below.decode()}: got {kind}, expected a file, a folder or a symlink"):
        names(top)


# Missing and unreadable files


@pytest.mark.parametrize("path", [b"/missing", b"/file/below"])
def test_a_missing_path_raises_before_the_first_node(tmp_path: Path, path: bytes) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotFound, match="got nothing there, expected a store path"):
        walk(os.fsencode(tmp_path) + path)


def test_a_folder_that_may_not_be_read_is_an_error(open_top: bytes) -> None:
    put(open_top, {"inner": {"file": b""}})
    os.chmod(open_top + b"/inner", 0o300)
    try:
        with pytest.raises(Unavailable, match=r"inner: got Permission denied, expected a readable file or folder"):
            as_nobody(lambda: names(open_top))
    finally:
        os.chmod(open_top + b"/inner", 0o755)


def test_a_folder_that_may_not_be_entered_is_an_error(open_top: bytes) -> None:
    put(open_top, {"inner": {"file": b""}})
    os.chmod(open_top + b"/inner", 0o644)
    try:
        with pytest.raises(Unavailable, match=r"inner/file: got Permission denied, expected a readable file or folder"):
            as_nobody(lambda: names(open_top))
    finally:
        os.chmod(open_top + b"/inner", 0o755)


def test_a_store_path_in_a_folder_that_may_not_be_entered_is_an_error(open_top: bytes) -> None:
    put(open_top, {"inner": {"file": b""}})
    os.chmod(open_top, 0o600)
    try:
        with pytest.raises(Unavailable, match=r"inner: got Permission denied, expected a readable file or folder"):
            as_nobody(lambda: names(open_top + b"/inner"))
    finally:
        os.chmod(open_top, 0o755)


@pytest.mark.parametrize("gone", ["a", "b", "c"])
def test_a_file_that_vanishes_during_the_walk_is_an_integrity_error(top: bytes, gone: str) -> None:
    put(top, {"0": b"", "a": {"x": b""}, "b": b"", "c": SymlinkTo("x")})
    nodes = walk(top)
    assert [next(iter(nodes)).path for _ in range(2)] == [b"", b"0"]
    path = Path(os.fsdecode(top), gone)
    path.parent.chmod(0o755)
    if gone == "a":
        shutil.rmtree(path)
    else:
        path.unlink()
    with pytest.raises(IntegrityError, match=rf"top/{gone}: got .*, expected the file or folder that was just listed"):
        list(nodes)


def test_a_store_path_that_vanishes_before_the_walk_is_an_integrity_error(top: bytes) -> None:
    put(top, {"x": b""})
    nodes = walk(top)
    os.chmod(top, 0o755)
    shutil.rmtree(top)
    with pytest.raises(IntegrityError, match=r"top: got .*, expected the file or folder that was just listed"):
        list(nodes)


# Names on a file system that ignores case


HACK = "~nix~case~hack~"


def test_the_case_hack_is_removed_from_names(top: bytes) -> None:
    put(top, {f"File{HACK}1": b"", "file": b"", f"Folder{HACK}12": {f"x{HACK}3": b""}})
    assert names(top, case_hack=True) == [b"", b"File", b"Folder", b"Folder/x", b"file"]
    assert names(top)[1] == f"File{HACK}1".encode()


def test_names_are_sorted_without_the_case_hack(top: bytes) -> None:
    put(top, {f"a{HACK}1": b"", "a-b": b"", "a.b": {f"z{HACK}1": b"", "z!": b""}})
    assert names(top, case_hack=True) == [b"", b"a", b"a-b", b"a.b", b"a.b/z", b"a.b/z!"]


@pytest.mark.parametrize("name", [f"x{HACK}", f"x{HACK}1a", f"x{HACK}1\n", "x~nix~case~hack1", HACK.upper() + "1"])
def test_a_similar_suffix_is_kept(top: bytes, name: str) -> None:
    put(top, {name: b""})
    assert names(top, case_hack=True) == [b"", name.encode()]


def test_names_that_differ_only_in_the_case_hack_are_a_format_error(top: bytes) -> None:
    put(top, {f"x{HACK}1": b"", "x": b""})
    with pytest.raises(FormatError, match=r"top: got two entries for 'x', expected one"):
        names(top, case_hack=True)
    put(top + b"2", {f"x{HACK}1": {}, f"x{HACK}2": {}})
    with pytest.raises(FormatError, match=r"top2: got two entries for 'x', expected one"):
        names(top + b"2", case_hack=True)


def test_the_case_hack_does_not_change_the_nar_hash(top: bytes) -> None:
    put(top, {f"A{HACK}1": {"x": b"1"}, "a": b"2"})
    put(top + b"2", {"A": {"x": b"1"}, "a": b"2"})
    hacked, plain = (hash_pieces(nar.dump(walk(path, case_hack=True))) for path in (top, top + b"2"))
    assert hacked == plain
