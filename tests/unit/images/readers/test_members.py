"""Files of an image by name, in an archive and in a folder; no name and no link leads out of either."""

import os
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from tests.support.image_files import dump_layer, hard_link, tar

from lamina.core.nodes import Extent
from lamina.errors import FormatError
from lamina.images.readers import members
from lamina.images.readers.members import ArchiveMembers, FolderMembers, Members
from lamina.system.extents import read_head

Open = Callable[[Path, Mapping[str, bytes | str | None]], Members]


def write_archive(folder: Path, data: bytes) -> ArchiveMembers:
    file = folder / "archive"
    file.write_bytes(data)
    return ArchiveMembers(Extent.whole(os.fsencode(file), len(data), file.stat().st_mtime_ns))


def open_archive(folder: Path, content: Mapping[str, bytes | str | None]) -> Members:
    return write_archive(folder, tar(content))


def open_folder(folder: Path, content: Mapping[str, bytes | str | None]) -> Members:
    top = folder / "top"
    for name, item in content.items():
        file = top / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(item, bytes):
            file.write_bytes(item)
        elif item is None:
            file.mkdir(exist_ok=True)
        else:
            file.symlink_to(item)
    return FolderMembers(top)


@pytest.fixture(params=[open_archive, open_folder], ids=["archive", "folder"])
def open_members(request: pytest.FixtureRequest) -> Open:
    found: Open = request.param
    return found


def read(found: Members, name: str) -> bytes | None:
    extent = found.find(name)
    return None if extent is None else read_head(extent, 100)


def test_a_file_is_found_however_its_name_is_spelled(open_members: Open, tmp_path: Path) -> None:
    found = open_members(tmp_path, {"a/b": b"text", "a/c": None})
    for name in ("a/b", "./a/b", "/a/b", "a//./b"):
        assert read(found, name) == b"text"
    for name in ("a", "a/c", "a/nothing", "b"):
        assert read(found, name) is None


def test_links_are_followed_inside(open_members: Open, tmp_path: Path) -> None:
    found = open_members(tmp_path, {"a/b": b"text", "a/link": "../c/again", "c/again": "./../a/b", "c/none": "nothing"})
    assert read(found, "a/link") == b"text"
    assert read(found, "c/none") is None


@pytest.mark.parametrize("target", ["../../outside", "/etc/passwd"])
def test_a_link_that_leads_out_is_refused(open_members: Open, tmp_path: Path, target: str) -> None:
    (tmp_path / "outside").write_text("secret")
    found = open_members(tmp_path, {"a/link": target})
    with pytest.raises(FormatError, match="got a link that leads out"):
        found.find("a/link")


@pytest.mark.parametrize("name", ["..", "../x", "a/../b", "", "/", "."])
def test_a_name_that_leads_elsewhere_is_refused(open_members: Open, tmp_path: Path, name: str) -> None:
    with pytest.raises(FormatError, match=r"expected the name of a member, without '\.\.'"):
        open_members(tmp_path, {"a": b""}).find(name)


def test_the_last_of_several_members_counts(tmp_path: Path) -> None:
    found = write_archive(tmp_path, dump_layer([("a", b"1"), hard_link("b", "./a"), ("a", b"2"), ("b", b"3")]))
    assert (read(found, "a"), read(found, "b")) == (b"2", b"3")


def test_a_link_to_itself_and_very_many_members_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FormatError, match="a link that leads to itself"):
        open_archive(tmp_path, {"a": "b", "b": "a"}).find("a")
    monkeypatch.setattr(members, "_MAX_MEMBERS", 2)
    with pytest.raises(FormatError, match="more than 2 members"):
        open_archive(tmp_path, {"a": b"", "b": b"", "c": b""})


def test_other_kinds_of_members_are_no_files(tmp_path: Path) -> None:
    pipe = tarfile.TarInfo("pipe")
    pipe.type = tarfile.FIFOTYPE
    assert write_archive(tmp_path, dump_layer([pipe])).find("pipe") is None
