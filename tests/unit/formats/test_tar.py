"""Tar headers: sizes, limits, and comparison with tarfile and GNU tar."""

import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.factories import File, Item, Link, write

from lamina.formats.tar import (
    BLOCK,
    RECORD,
    GnuHeaders,
    Member,
    Owner,
    PaxHeaders,
    TypeFlag,
    padded_size,
    padding,
    trailer_size,
)

GNU_TAR = shutil.which("tar") or ""
MTIME = 315532800
ROOT = Owner(0, 0, "root", "root")


def is_gnu_tar() -> bool:
    if not GNU_TAR:
        return False
    done = subprocess.run([GNU_TAR, "--version"], check=False, capture_output=True)
    return b"GNU tar" in done.stdout


needs_gnu_tar = pytest.mark.skipif(not is_gnu_tar(), reason="GNU tar is not installed")


# --- sizes


@pytest.mark.parametrize(("size", "whole"), [(0, 0), (1, 512), (511, 512), (512, 512), (513, 1024), (8 << 30, 8 << 30)])
def test_files_fill_blocks(size: int, whole: int) -> None:
    assert padded_size(size) == whole
    assert size + len(padding(size)) == whole


@pytest.mark.parametrize("blocks", [0, 1, 17, 18, 19, 20, 38, 39])
def test_two_blocks_and_a_full_record_end_an_archive(blocks: int) -> None:
    end = trailer_size(blocks * BLOCK)
    assert end >= 2 * BLOCK
    assert (blocks * BLOCK + end) % RECORD == 0
    assert end < 2 * BLOCK + RECORD


# --- PAX


def test_the_default_owner_is_root_without_a_name() -> None:
    assert Owner() == Owner(0, 0, "", "")


def test_a_plain_member_is_one_block() -> None:
    header = PaxHeaders(ROOT, 1).make_header(Member(b"/nix/store/", TypeFlag.DIRECTORY, 0o755))
    assert len(header) == BLOCK
    assert header.startswith(b"/nix/store/\0")
    assert header[100:108] == b"0000755\0"
    assert header[257:265] == b"ustar\x0000"
    assert header[265:329] == b"root".ljust(32, b"\0") * 2


@pytest.mark.parametrize(
    ("name", "records"),
    [
        (b"n" * 100, b""),
        (b"n" * 101, b"111 path=" + b"n" * 101 + b"\n"),
        ("é".encode(), b"11 path=\xc3\xa9\n"),
        (b"\xff", b"21 hdrcharset=BINARY\n9 path=\xff\n"),
        # A length includes its own digits. These lengths are on both sides of where one more digit is needed.
        (b"\xc3\xa9" + b"n" * 88, b"99 path=\xc3\xa9" + b"n" * 88 + b"\n"),
        (b"\xc3\xa9" + b"n" * 89, b"101 path=\xc3\xa9" + b"n" * 89 + b"\n"),
        (b"n" * 989, b"999 path=" + b"n" * 989 + b"\n"),
        (b"n" * 990, b"1001 path=" + b"n" * 990 + b"\n"),
    ],
)
def test_a_name_that_does_not_fit_ustar_gets_a_record(name: bytes, records: bytes) -> None:
    """Names over 100 bytes or not in ASCII get a PAX record, after `hdrcharset` if they are not UTF-8."""
    header = PaxHeaders(Owner(), 1).make_header(Member(name, TypeFlag.FILE, 0o444))
    before, body, block = header[:BLOCK], header[BLOCK:-BLOCK], header[-BLOCK:]
    assert body == records + padding(len(records))
    assert not records or before.startswith(b"././@PaxHeader\0")
    assert block[: min(len(name), 100)] == name[:100] if name.isascii() else b"?" in block[:100]


def test_sizes_from_8_gib_on_get_a_record() -> None:
    headers = PaxHeaders(ROOT, 1)
    assert len(headers.make_header(Member(b"a", TypeFlag.FILE, 0o444, (8 << 30) - 1))) == BLOCK
    large = headers.make_header(Member(b"a", TypeFlag.FILE, 0o444, 8 << 30))
    assert b"19 size=8589934592\n" in large
    assert large[-BLOCK:][124:136] == b"00000000000\0"


def test_tarfile_reads_what_we_write() -> None:
    headers = PaxHeaders(Owner(1 << 40, 2_097_152, "ü", "g" * 40), -5)
    members = [
        (Member(b"/nix/" + b"n" * 200 + b"/", TypeFlag.DIRECTORY, 0o555), b""),
        (Member(b"bad\xff", TypeFlag.FILE, 0o444, 600), b"x" * 600),
        (Member("é".encode(), TypeFlag.SYMLINK, 0o777, target="☃".encode() * 50), b""),
    ]
    data = b"".join(headers.make_header(member) + content + padding(len(content)) for member, content in members)
    with tarfile.open(fileobj=io.BytesIO(data + bytes(trailer_size(len(data))))) as archive:
        found = list(archive)
    assert [os.fsencode(info.name) for info in found] == [b"/nix/" + b"n" * 200, b"bad\xff", "é".encode()]
    assert found[2].linkname == "☃" * 50
    assert [(info.size, info.mode) for info in found] == [(0, 0o555), (600, 0o444), (0, 0o777)]
    assert {(info.uid, info.gid, info.uname, info.gname, info.mtime) for info in found} == {
        (1 << 40, 2_097_152, "ü", "g" * 40, -5)
    }


# --- GNU


def packed(folder: Path) -> bytes:
    """Return the archive of ``folder`` by GNU tar, called as dockerTools does for the customisation layer."""
    options = ("--format=gnu", "--sort=name", "--numeric-owner", f"--mtime=@{MTIME}", "--hard-dereference")
    done = subprocess.run([GNU_TAR, *options, "-c", "."], cwd=folder, capture_output=True, check=True)
    return done.stdout


def repacked(folder: bytes) -> bytes:
    """Return the same archive made with `GnuHeaders`."""
    headers = GnuHeaders(MTIME)
    data = b""
    for member, owner, content in found_in(folder, b"./"):
        header = headers.make_header(member, owner)
        assert headers.header_size(member) == len(header)
        data += header + content + padding(len(content))
    return data + bytes(trailer_size(len(data)))


def found_in(path: bytes, name: bytes) -> Iterator[tuple[Member, Owner, bytes]]:
    status = os.lstat(path)
    mode, owner = status.st_mode & 0o7777, Owner(status.st_uid, status.st_gid)
    if os.path.islink(path):
        yield Member(name, TypeFlag.SYMLINK, mode, target=os.readlink(path)), owner, b""
    elif os.path.isdir(path):
        yield Member(name if name.endswith(b"/") else name + b"/", TypeFlag.DIRECTORY, mode), owner, b""
        for entry in sorted(os.listdir(path)):
            yield from found_in(path + b"/" + entry, name.rstrip(b"/") + b"/" + entry)
    else:
        with open(path, "rb") as file:
            content = file.read()
        yield Member(name, TypeFlag.FILE, mode, len(content)), owner, content


def long_names() -> Item:
    """Make names and targets around the 100 bytes of their fields, including ``./`` and a trailing slash."""
    tree: dict[bytes, Item] = {}
    for length in (*range(95, 104), 200, 255):
        tree[b"f" * length] = File(b"x" * length)
        tree[b"d" * length] = {b"d" * length: {b"f" * length: File()}}
        tree[b"l" * length] = Link(b"t" * length)
        tree[b"t%d" % length] = Link(b"../" * length)
    for length in (510, 511, 512, 513):
        tree[b"t%d" % length] = Link(b"t" * length)
    return tree


@needs_gnu_tar
@pytest.mark.parametrize(
    "item",
    [
        {},
        {b"bin": {b"hi": File(b"#!/bin/sh\n", executable=True)}, b"bin-foo": File(b"x" * 512), b"empty": {}},
        {"é☃".encode(): File(b"1"), b"new\nline": Link(b"a b"), b"~": File(), b"back\\slash": File()},
        long_names(),
    ],
)
def test_headers_equal_those_of_gnu_tar(item: Item, tmp_path: Path) -> None:
    write(item, os.fsencode(tmp_path / "root"))
    assert repacked(os.fsencode(tmp_path / "root")) == packed(tmp_path / "root")


@needs_gnu_tar
@pytest.mark.skipif(os.uname().sysname != "Linux", reason="other systems refuse such names")
def test_headers_equal_those_of_gnu_tar_for_names_that_are_not_utf8(tmp_path: Path) -> None:
    write({b"\xff" * 99: Link(b"\xfe"), b"\xc3": {b"\xa9" * 101: File(b"x")}}, os.fsencode(tmp_path / "root"))
    assert repacked(os.fsencode(tmp_path / "root")) == packed(tmp_path / "root")


@needs_gnu_tar
def test_modes_and_hard_links_equal_those_of_gnu_tar(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir(mode=0o700)
    for mode in (0o1777, 0o2755, 0o4755, 0o000, 0o600):
        (root / f"d{mode:o}").mkdir()
        (root / f"d{mode:o}").chmod(mode | 0o500)
        (root / f"f{mode:o}").write_bytes(b"x")
        (root / f"f{mode:o}").chmod(mode | 0o400)
    (root / "one").write_bytes(b"linked")
    (root / "two").hardlink_to(root / "one")
    assert repacked(os.fsencode(root)) == packed(root)


@needs_gnu_tar
@pytest.mark.skipif(os.geteuid() != 0, reason="root is needed to give files away")
@pytest.mark.parametrize("number", [1000, 2_097_151, 2_097_152, 4_294_967_294])
def test_owners_equal_those_of_gnu_tar(number: int, tmp_path: Path) -> None:
    """A number of more than seven octal digits is written in base 256."""
    root = tmp_path / "root"
    write({b"f" * 120: File(b"x"), b"l": Link(b"t" * 120), b"d": {}}, os.fsencode(root))
    for path in (root, *root.iterdir()):
        os.chown(path, number, number - 1, follow_symlinks=False)
    assert repacked(os.fsencode(root)) == packed(root)


@needs_gnu_tar
def test_sizes_from_8_gib_on_equal_those_of_gnu_tar(tmp_path: Path) -> None:
    """The file is sparse, and only the first blocks of its archive are read."""
    with (tmp_path / "large").open("wb") as file:
        file.truncate(8 << 30)
    (tmp_path / "large").chmod(0o644)
    command = [GNU_TAR, "--format=gnu", "--numeric-owner", f"--mtime=@{MTIME}", "-c", "large"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        first = process.stdout.read(2 * BLOCK)
        process.stdout.close()
    owner = Owner(os.geteuid(), os.getegid())
    assert first == GnuHeaders(MTIME).make_header(Member(b"large", TypeFlag.FILE, 0o644, 8 << 30), owner) + bytes(BLOCK)


@pytest.mark.parametrize("mtime", [0, MTIME, (8 << 30) - 1, 8 << 30, -1, -(1 << 40)])
def test_tarfile_reads_gnu_dates(mtime: int) -> None:
    header = GnuHeaders(mtime).make_header(
        Member(b"a" * 150, TypeFlag.SYMLINK, 0o777, target=b"b" * 150), Owner(1 << 31, 5)
    )
    with tarfile.open(fileobj=io.BytesIO(header + bytes(trailer_size(len(header))))) as archive:
        (found,) = archive
    assert (found.name, found.linkname, found.mtime, found.uid, found.gid) == (
        "a" * 150,
        "b" * 150,
        mtime,
        1 << 31,
        5,
    )
