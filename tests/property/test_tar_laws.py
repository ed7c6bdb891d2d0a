"""Laws of tar headers."""

import os
import tarfile

from hypothesis import example, given
from hypothesis import strategies as st
from tests.support.examples import examples

from lamina.formats.tar import GnuHeaders, Member, Owner, PaxHeaders, TypeFlag

LAW = examples(300)

LENGTHS = st.one_of(
    st.integers(0, 5), st.integers(96, 104), st.integers(150, 160), st.integers(250, 260), st.integers(509, 514)
)
CHARACTERS = st.sampled_from([b"n", b"n/", "é".encode(), "\U0001f600".encode(), b"\xff", b"a\xc3", b" ", b"=\n"])


@st.composite
def texts(draw: st.DrawFn) -> bytes:
    """Draw texts with a length near that of a field, in ASCII, UTF-8 or neither, without NUL."""
    filler, tail = draw(CHARACTERS), draw(st.one_of(st.just(b""), CHARACTERS))
    length = draw(LENGTHS)
    return (b"x" + filler * length)[: max(1, length - len(tail))] + tail


SIZES = st.one_of(st.integers(0, 2000), st.integers((8 << 30) - 2, (8 << 30) + 2), st.integers(0, 1 << 62))
NUMBERS = st.one_of(st.integers(0, 5), st.integers(2_097_150, 2_097_153), st.integers(0, 2**32 - 2))
MTIMES = st.one_of(st.integers(-2, 2), st.integers((8 << 30) - 2, (8 << 30) + 2), st.integers(-(1 << 36), 1 << 36))
ACCOUNT_NAMES = st.one_of(
    st.sampled_from(["", "root", "u" * 31, "u" * 32, "u" * 33, "é", "é" * 16, "\udcff", "é" * 33]), st.text(max_size=40)
).filter(lambda text: "\0" not in text and not any("\ud800" <= character <= "\udc7f" for character in text))
OWNERS = st.builds(Owner, NUMBERS, NUMBERS, ACCOUNT_NAMES, ACCOUNT_NAMES)


@st.composite
def members(draw: st.DrawFn) -> Member:
    name = draw(texts())
    match draw(st.sampled_from(TypeFlag)):
        case TypeFlag.FILE:
            return Member(name.rstrip(b"/") or b"n", TypeFlag.FILE, draw(st.integers(0, 0o7777)), draw(SIZES))
        case TypeFlag.SYMLINK:
            return Member(name.rstrip(b"/") or b"n", TypeFlag.SYMLINK, 0o777, target=draw(texts()))
        case _:
            return Member(name.rstrip(b"/") + b"/", TypeFlag.DIRECTORY, draw(st.integers(0, 0o7777)))


def tarfile_header(member: Member, owner: Owner, mtime: int) -> bytes:
    """Return the header that Python's tarfile writes with the format and encoding of nixpkgs' streamer."""
    found = tarfile.TarInfo(member.name.decode("utf-8", "surrogateescape"))
    found.type = bytes(member.kind)
    found.mode, found.size, found.mtime = member.mode, member.size, mtime
    found.linkname = member.target.decode("utf-8", "surrogateescape")
    found.uid, found.gid, found.uname, found.gname = owner.uid, owner.gid, owner.uname, owner.gname
    return found.tobuf(format=tarfile.PAX_FORMAT, encoding="utf-8", errors="surrogateescape")


@given(members(), OWNERS, MTIMES)
@example(Member(b"n" * 100, TypeFlag.SYMLINK, 0o777, target=b"t" * 101), Owner(0, 0, "root", "root"), 1)
@example(Member(b"\xff" * 60 + b"/", TypeFlag.DIRECTORY, 0o555), Owner(1 << 31, 1 << 31, "é", "\udcff"), -1)
@LAW
def test_pax_headers_are_those_of_tarfile(member: Member, owner: Owner, mtime: int) -> None:
    """Python's own tarfile since 3.9 with ``format=PAX`` gives digest-compatible layers."""
    headers = PaxHeaders(owner, mtime)
    assert headers.make_header(member) == tarfile_header(member, owner, mtime)


@given(members(), OWNERS, MTIMES)
@LAW
def test_the_size_of_a_header_is_computed_without_making_it(member: Member, owner: Owner, mtime: int) -> None:
    """``header_size(…) == len(make_header(…))`` with no file read."""
    assert PaxHeaders(owner, mtime).header_size(member) == len(PaxHeaders(owner, mtime).make_header(member))
    assert GnuHeaders(mtime).header_size(member) == len(GnuHeaders(mtime).make_header(member, owner))


@given(members(), OWNERS, MTIMES)
@LAW
def test_tarfile_reads_gnu_headers_back(member: Member, owner: Owner, mtime: int) -> None:
    """Values that do not fit a field go to a ``././@LongLink`` or to base 256, and nothing is lost."""
    header = GnuHeaders(mtime).make_header(member, owner)
    found = tarfile.TarInfo.frombuf(header[-512:], "utf-8", "surrogateescape")
    assert (found.uid, found.gid, found.mode, found.size) == (owner.uid, owner.gid, member.mode, member.size)
    assert found.mtime == mtime
    if len(member.name) <= 100:
        assert os.fsencode(found.name) == member.name.rstrip(b"/")
    else:
        assert b"././@LongLink" in header
        assert member.name + b"\0" in header
