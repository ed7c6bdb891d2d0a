"""Reading tar headers: archives of Python's tarfile and GNU tar, and `FormatError` for anything else."""

from __future__ import annotations

import random
import subprocess
import tarfile
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.errors import FormatError
from lamina.formats import tar_reader
from lamina.formats.tar_reader import EntryKind, TarHeader, is_header, read_headers

KINDS = {
    tarfile.REGTYPE: EntryKind.FILE,
    tarfile.LNKTYPE: EntryKind.LINK,
    tarfile.SYMTYPE: EntryKind.SYMLINK,
    tarfile.CHRTYPE: EntryKind.CHARACTER,
    tarfile.BLKTYPE: EntryKind.BLOCK,
    tarfile.DIRTYPE: EntryKind.DIRECTORY,
    tarfile.FIFOTYPE: EntryKind.FIFO,
}
FORMATS = [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT]


def read(data: bytes) -> list[TarHeader]:
    return list(read_headers(lambda offset, size: data[offset : offset + size], len(data)))


def written(*infos: tarfile.TarInfo, form: int = tarfile.PAX_FORMAT, end: bytes = bytes(1024)) -> bytes:
    out = bytearray()
    for info in infos:
        out += info.tobuf(cast("Any", form), "utf-8", "surrogateescape") + b"x" * info.size + bytes(-info.size % 512)
    return bytes(out) + end


def info(name: str, kind: bytes = tarfile.REGTYPE, **fields: Any) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type = kind
    for key, value in fields.items():
        setattr(made, key, value)
    return made


def raw(header: bytes, offset: int, text: bytes) -> bytes:
    """Return a header with other bytes at ``offset`` and a valid checksum."""
    changed = header[:offset] + text + header[offset + len(text) :]
    return changed[:148] + b"%06o\0 " % (sum(changed[:148]) + 8 * 32 + sum(changed[156:512])) + changed[156:]


# Valid archives


_NAMES = st.text(st.characters(exclude_characters="\0/", codec="utf-8"), min_size=1, max_size=130)
_INFOS = st.builds(
    info,
    _NAMES,
    st.sampled_from(sorted(KINDS)),
    linkname=_NAMES,
    mode=st.integers(0, 0o7777),
    uid=st.integers(0, 1 << 31),
    gid=st.integers(0, 1 << 31),
    uname=st.text("aé", max_size=8),
    gname=st.text("bü", max_size=8),
    mtime=st.integers(-(1 << 33), 1 << 34),
    devmajor=st.integers(0, 4000),
    devminor=st.integers(0, 4000),
    size=st.just(0),
)


@given(st.lists(_INFOS, max_size=4), st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]), st.integers(0, 1500))
def test_archives_of_python_are_read(infos: list[tarfile.TarInfo], form: int, size: int) -> None:
    """POSIX pax and GNU's format are two encodings of the same fields."""
    for item in infos:
        item.size = size if item.type == tarfile.REGTYPE else 0
        if item.type not in (tarfile.LNKTYPE, tarfile.SYMTYPE):
            item.linkname = ""
    for item, found in zip(infos, read(written(*infos, form=form)), strict=True):
        assert found.name.decode() == item.name + ("/" if item.type == tarfile.DIRTYPE else "")
        assert (found.kind, found.mode, found.uid, found.gid) == (KINDS[item.type], item.mode, item.uid, item.gid)
        assert (found.uname.decode(), found.gname.decode()) == (item.uname, item.gname)
        assert (found.mtime, found.size, found.target.decode()) == (item.mtime, item.size, item.linkname)
        if item.type in (tarfile.CHRTYPE, tarfile.BLKTYPE):
            assert found.device == (item.devmajor, item.devminor)


@given(st.dictionaries(st.text("ab.", min_size=1), st.binary(max_size=60), max_size=3))
def test_extended_attributes_are_any_bytes(xattrs: dict[str, bytes]) -> None:
    records = {f"SCHILY.xattr.{name}": value.decode("utf-8", "surrogateescape") for name, value in xattrs.items()}
    (found,) = read(written(info("x", pax_headers=records)))
    assert found.xattrs == tuple(sorted((name.encode(), value) for name, value in xattrs.items()))


def test_ustar_names_may_be_split_into_prefix_and_name() -> None:
    name = "/".join(["d" * 40] * 5)
    (found,) = read(written(info(name, mtime=5), form=tarfile.USTAR_FORMAT))
    assert found.name.decode() == name


def test_a_v7_directory_is_a_file_with_a_trailing_slash() -> None:
    header = written(info("x"))[:512]
    old = raw(raw(raw(header, 257, bytes(255)), 0, b"d/"), 156, b"\0")
    (found,) = read(old)
    assert (found.name, found.kind) == (b"d/", EntryKind.DIRECTORY)


def test_a_date_is_in_whole_seconds() -> None:
    for text, expected in {"1.9": 1, "-1.5": -2, "-1.0": -1, "-1": -1, "0": 0, "12.": 12}.items():
        (found,) = read(written(info("x", pax_headers={"mtime": text})))
        assert found.mtime == expected


def test_global_records_apply_to_all_members_and_others_to_one() -> None:
    shared = tarfile.TarInfo.create_pax_global_header({"uname": "all", "mtime": "7"})
    rest = written(info("a", pax_headers={"uname": "one"}), info("b"))
    first, second = read(shared + rest)
    assert (first.uname, first.mtime, second.uname, second.mtime) == (b"one", 7, b"all", 7)


def test_an_archive_may_end_without_zeros() -> None:
    assert [found.name for found in read(written(info("a"), info("b"), end=b""))] == [b"a", b"b"]
    assert read(b"") == read(bytes(512)) == []


@pytest.mark.parametrize("form", ["gnu", "posix", "ustar", "v7"])
def test_archives_of_gnu_tar_are_read(tmp_path: Path, form: str) -> None:
    (tmp_path / "in/sub").mkdir(parents=True)
    (tmp_path / "in/sub/file").write_bytes(b"hello")
    (tmp_path / "in/link").symlink_to("sub/file")
    (tmp_path / "in/hard").hardlink_to(tmp_path / "in/sub/file")
    with (tmp_path / "in/sparse").open("wb") as file:
        file.seek(1 << 20)
        file.write(b"end")
    command = ["tar", f"--format={form}", "--sparse", "--sort=name", "-C", str(tmp_path / "in"), "-cf", "-", "."]
    if form in ("ustar", "v7"):
        command.remove("--sparse")
    found = {item.name: item for item in read(subprocess.run(command, capture_output=True, check=True).stdout)}
    assert set(found) == {b"./", b"./hard", b"./link", b"./sparse", b"./sub/", b"./sub/file"}
    assert found[b"./link"].target == b"sub/file"
    assert found[b"./sub/file"].target == b"./hard"
    assert found[b"./sub/"].kind is EntryKind.DIRECTORY
    assert found[b"./sparse"].sparse == (form in ("gnu", "posix"))


# Invalid archives


@pytest.mark.parametrize("data", [b"x", b"x" * 512, bytes(100), b"\0" * 511 + b"x", written(info("a"))[:300]])
def test_an_invalid_header_is_refused(data: bytes) -> None:
    with pytest.raises(
        FormatError, match=r"^tar at byte 0: got invalid bytes, expected a header or the end of the archive$"
    ):
        read(data)
    assert not is_header(data)


def test_an_invalid_header_after_the_first_is_refused() -> None:
    with pytest.raises(FormatError, match=r"^tar at byte 512: got invalid bytes"):
        read(written(info("a"), end=b"x" * 512))


def test_a_truncated_archive_is_refused() -> None:
    data = written(info("a" * 200, size=700), info("b", size=3), end=b"")
    whole = len(data) - 509
    for length in range(1, whole):
        try:
            found = read(data[:length])
        except FormatError:
            continue
        assert len(found) < 2


_PAX = ["5 x=y\n", "99 x=y\n", "x", "6 xyz\n", "-6 x=y\n", "6 x=yz", "0 x=y\n", "00000000000000000000006 x=y\n"]


@pytest.mark.parametrize("body", _PAX)
def test_records_with_a_wrong_length_are_refused(body: str) -> None:
    header = written(info("x", tarfile.XHDTYPE, size=len(body)), end=b"")[:512]
    with pytest.raises(FormatError, match=r"expected a PAX record"):
        read(header + body.encode().ljust(512, b"\0") + written(info("y")))


@pytest.mark.parametrize(
    "record", ["size=x", "size=-5", "uid=1e9", "mtime=nan", "mtime=inf", "gid=", "size=" + "9" * 50]
)
def test_records_with_an_invalid_number_are_refused(record: str) -> None:
    key, _, value = record.partition("=")
    with pytest.raises(FormatError, match=r"^tar at byte \d+: got "):
        read(written(info("x", pax_headers={key: value})))


@pytest.mark.parametrize(
    "size", [b"\x80" + b"\x7f" * 11, b"77777777777\0", b"\xff" * 12, b"\x80" + bytes(3) + b"\xff" * 8]
)
def test_impossible_sizes_are_refused(size: bytes) -> None:
    for flag in (b"0", b"x", b"L", b"g"):
        data = raw(raw(written(info("x")), 124, size), 156, flag)
        with pytest.raises(FormatError, match=r"^tar at byte \d+: got "):
            read(data)


@pytest.mark.parametrize("flag", [b"D", b"M", b"V", b"Z", b"\xff"])
def test_members_of_other_types_are_refused(flag: bytes) -> None:
    with pytest.raises(FormatError, match=r"got a member of type .*, expected a file, folder, link or device"):
        read(raw(written(info("x")), 156, flag))


def test_names_with_zero_bytes_are_refused() -> None:
    for key in ("path", "linkpath"):
        with pytest.raises(FormatError, match=r"got a name with a zero byte, expected a name without one"):
            read(written(info("x", tarfile.SYMTYPE, pax_headers={key: "a\0b"})))


def test_records_without_a_member_are_refused() -> None:
    data = written(info("x", pax_headers={"a": "b"}))[:1024]
    with pytest.raises(FormatError, match=r"got the end, expected the member that the last records describe"):
        read(data)


def test_long_records_and_long_chains_of_records_take_linear_time() -> None:
    """The parser neither backtracks nor recurses, which would take too long or overflow the stack here."""
    digits = b"1" * (1 << 20)
    chain = written(info("x", pax_headers={"a": "b"}))[:1024] * 5000
    with pytest.raises(FormatError):
        read(written(info("x", tarfile.XHDTYPE, size=len(digits)), end=b"")[:512] + digits + written(info("y")))
    assert [found.name for found in read(chain + written(info("y")))] == [b"y"]


def test_the_size_of_global_records_is_limited() -> None:
    """Each member would process or copy them again, so kilobytes would become terabytes."""
    shared = tarfile.TarInfo.create_pax_global_header
    with pytest.raises(FormatError, match=r"bytes of records for all members, expected at most 4096"):
        read(shared({"uname": "x" * 5000}) + written(info("a")))
    with pytest.raises(FormatError, match=r"bytes of records for all members, expected at most 4096"):
        read(shared({"uname": "x" * 3000}) + shared({"gname": "x" * 3000}) + written(info("a")))
    (found,) = read(shared({"comment": "c" * 50_000, "SCHILY.xattr.user.a": "b" * 50_000}) + written(info("a")))
    assert found.xattrs == ()


def test_the_total_size_of_the_records_of_one_member_is_limited() -> None:
    chain = b"".join(
        written(info("x", tarfile.XHDTYPE, size=60_000), end=b"")[:512] + _record(f"SCHILY.xattr.{number}", 60_000)
        for number in range(20)
    )
    with pytest.raises(FormatError, match=r"got \d+ bytes of records, expected at most 1048576"):
        read(chain + written(info("y")))


def _record(key: str, size: int) -> bytes:
    """Return a PAX record of ``size`` bytes in total, padded to whole blocks."""
    start = f"{size} {key}=".encode()
    return (start + b"x" * (size - len(start) - 1) + b"\n").ljust(-(-size // 512) * 512, b"\0")


def test_the_number_of_records_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tar_reader, "_MAX_RECORDS", 5)
    one = written(info("x", pax_headers={"a": "b", "c": "d"}), end=b"")
    assert len(read(one * 2)) == 2
    with pytest.raises(FormatError, match=r"got more than 5 records, expected fewer"):
        read(one * 3)


def test_corrupted_headers_raise_only_format_errors() -> None:
    data = written(*(info(str(number), kind, size=5 * (kind == b"0")) for number, kind in enumerate(sorted(KINDS))))
    data = written(info("n" * 120, pax_headers={"SCHILY.xattr.a": "b"}), end=b"") + data
    source = random.Random(1)
    for _ in range(3000):
        offset = source.randrange(0, len(data) - 1024, 512)
        spoilt = data
        for _ in range(source.choice([1, 2, 8])):
            spoilt = spoilt[:offset] + raw(spoilt[offset:], source.randrange(500), source.randbytes(1))
        try:
            read(spoilt)
        except FormatError as error:
            assert str(error).startswith("tar at byte ")  # noqa: PT017 - or no error at all
