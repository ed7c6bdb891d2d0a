"""The first difference between two tars."""

import io
import tarfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lamina.images.tar_difference import ForwardReader, TarDifference, find_difference

PATH = "/nix/store/" + "0" * 32 + "-hello"
OTHER = "/nix/store/" + "1" * 32 + "-other"
Files = dict[str, bytes | None]
FILES: Files = {"/nix/": None, "/nix/store/": None, PATH: None, f"{PATH}/a": b"a" * 600, f"{PATH}/b": b"b", OTHER: b"o"}


def make_tar(files: Files, **fields: Any) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo()
            member.name = name
            member.mode = 0o444
            if content is None:
                member.type, member.mode = tarfile.DIRTYPE, 0o555
            for key, value in fields.get(name.rpartition("/")[2], {}).items():
                setattr(member, key, value)
            member.size = len(content or b"")
            archive.addfile(member, io.BytesIO(content or b""))
    return out.getvalue()


def opened(data: bytes, size: int = 700) -> Callable[[], Iterator[bytes]]:
    return lambda: (data[start : start + size] for start in range(0, len(data), size))


def compare(actual: bytes, expected: bytes | None = None) -> TarDifference | None:
    return find_difference(opened(make_tar(FILES) if expected is None else expected, 512), opened(actual))


def flip(offset_in: str, delta: int) -> bytes:
    """Return the tar with one bit of a byte changed, ``delta`` bytes after the content of a file begins."""
    data = bytearray(make_tar(FILES))
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        start = next(member.offset_data for member in archive if f"/{member.name}".endswith(offset_in))
    data[start + delta] ^= 1
    return bytes(data)


def test_equal_tars_have_no_difference() -> None:
    assert compare(make_tar(FILES)) is None


@pytest.mark.parametrize(
    ("delta", "got"),
    [
        (0, "other content at byte 0 of 600"),
        (599, "other content at byte 599 of 600"),
        (600, "other content in the padding after it"),
    ],
)
def test_a_flipped_byte_is_in_the_file_that_it_is_in(delta: int, got: str) -> None:
    found = compare(flip("hello/a", delta))
    assert found
    assert (str(found.path), found.file, found.got) == (PATH, f"{PATH}/a", got)


def test_a_flipped_byte_of_a_header_is_in_the_file_of_the_header() -> None:
    found = compare(flip("hello/a", -1))
    assert found
    assert (found.file, found.got.split(" (")[0]) == (f"{PATH}/a", "an invalid header")


@pytest.mark.parametrize(
    ("name", "fields", "got", "expected"),
    [
        ("a", {"mode": 0o555}, "mode '0555'", "'0444'"),
        ("a", {"uid": 1000}, "uid '1000'", "'0'"),
        ("a", {"uname": "user"}, "uname 'user'", "''"),
        ("a", {"mtime": 5}, "mtime '5'", "'0'"),
        ("b", {"type": tarfile.SYMTYPE, "linkname": "x"}, "type 'symlink'", "'file'"),
    ],
)
def test_a_field_of_a_header_that_differs_is_named(name: str, fields: dict[str, Any], got: str, expected: str) -> None:
    found = compare(make_tar(FILES, **{name: fields}))
    assert found
    assert (found.file, found.got, found.expected) == (f"{PATH}/{name}", got, expected)


@pytest.mark.parametrize("name", [f"{PATH}/a", f"{PATH}/b"])
def test_a_missing_file_is_named(name: str) -> None:
    found = compare(make_tar({key: value for key, value in FILES.items() if key != name}))
    assert found
    assert (str(found.path), found.file, found.got, found.expected) == (PATH, name, "nothing", "a file")


@pytest.mark.parametrize("name", [f"{PATH}/aa", f"{PATH}/z"])
def test_a_file_that_was_added_is_named(name: str) -> None:
    names = sorted((*FILES, name), key=lambda text: text.rstrip("/").split("/"))
    found = compare(make_tar({key: FILES.get(key, b"x") for key in names}))
    assert found
    assert (str(found.path), found.file, found.got, found.expected) == (PATH, name, "a file", "nothing")


def test_a_file_outside_of_store_paths_is_in_no_store_path() -> None:
    found = compare(make_tar({**FILES, "/etc/passwd": b"root"}))
    assert found
    assert (found.path, found.file) == (None, "/etc/passwd")


@pytest.mark.parametrize("size", [0, 300, 512 * 3 + 10, 512 * 4 + 10])
def test_a_tar_that_is_cut_differs_where_it_ends(size: int) -> None:
    found = compare(make_tar(FILES)[:size])
    assert found
    assert found.file.startswith("/nix")


def test_bytes_after_the_end_are_a_difference() -> None:
    found = compare(make_tar(FILES) + b"more")
    assert found
    assert (found.file, found.got) == (OTHER, "bytes after the last file")


def test_a_forward_reader_reads_any_pieces_at_rising_offsets() -> None:
    data = bytes(range(256)) * 10
    for size in (1, 7, 5000):
        read = ForwardReader(opened(data, size)())
        assert read(0, 10) == data[:10]
        assert read(5, 10) == data[5:15]
        assert read(1000, 100) == data[1000:1100]
        assert read(2550, 100) == data[2550:]
        assert read(9000, 1) == b""
