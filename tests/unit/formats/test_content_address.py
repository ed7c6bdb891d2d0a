"""Content addresses: the store paths that Nix computes from them, and contents that match or do not match."""

import hashlib
import os

import pytest
from tests.support.factories import File, Item, Link, nodes, packed_bytes

from lamina.core.names import Digest, StorePath
from lamina.core.pathinfo import PathInfo
from lamina.errors import FormatError, InvalidArgument
from lamina.formats import content_address, nar, narinfo
from lamina.formats.content_address import (
    ContentAddress,
    ContentAddressCheck,
    ModuloHash,
    Rewriter,
    has_matching_address,
)
from lamina.layers.packed import PackedLayer

HI = b"hi\n"
OLD, NEW = b"0c4a744h9ia7v9mig6h7vvwaf2lfcfsl", b"1hc42b37ja6apgn550a10ikj6vb9db1n"
GLIBC = StorePath.parse_base("0s9qbbbb000000000000000000000000-glibc-2.33-59")
ZLIB = StorePath.parse_base("2g13aaaa0000000000000000000000ab-zlib-1.2")


def nar_of(item: Item) -> bytes:
    return packed_bytes(PackedLayer(0, iter(nar.dump(nodes(item)))))


def of_file(method: str, algorithm: str) -> ContentAddress:
    data = nar_of(File(HI)) if method == content_address.NAR else HI
    return ContentAddress(method, algorithm, hashlib.new(algorithm, data).digest())


def info_of(path: StorePath, data: bytes, *references: StorePath) -> PathInfo:
    return PathInfo(path, Digest(hashlib.sha256(data).digest()), len(data), frozenset(references))


def content_matches(found: ContentAddress, info: PathInfo, data: bytes, size: int = 1 << 20) -> bool:
    check = ContentAddressCheck(found, info)
    for start in range(0, len(data), size):
        check.feed(data[start : start + size])
    return check.matches()


# --- spelling


@pytest.mark.parametrize("method", ["fixed", "fixed:r"])
@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256", "sha512"])
def test_an_address_parses_back(method: str, algorithm: str) -> None:
    found = of_file(method, algorithm)
    assert ContentAddress.parse(str(found)) == found
    assert str(found).startswith(f"{method}:{algorithm}:")
    assert ContentAddress.parse(f"{method}:{algorithm}:{found.raw.hex()}") == found


def test_an_address_is_printed_in_base_32() -> None:
    digest = Digest.parse("sha256:094qif9n4cq4fdg459qzbhg1c6wywawwaaivx0k0x8xhbyx4vwic")
    assert str(ContentAddress.nar(digest)) == "fixed:r:sha256:094qif9n4cq4fdg459qzbhg1c6wywawwaaivx0k0x8xhbyx4vwic"
    assert ContentAddress.parse(f"text:{digest.nix32}") == ContentAddress("text", "sha256", digest.raw)
    assert str(ContentAddress.parse(f"text:{digest}")) == f"text:{digest.nix32}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "fixed",
        "fixed:",
        "fixed:sha256",
        "fixed:sha256:",
        "fixed:sha256:" + "0" * 51,
        "fixed:sha256:" + "z" * 52,  # more than 256 bits
        "fixed:sha256:" + "e" * 52,
        "fixed:sha256:" + "g" * 64,
        "fixed:sha256:" + "A" * 64,
        "fixed:sha256:" + "0" * 52 + "\n",
        "fixed:sha1:" + "0" * 52,
        "fixed:sha3:" + "0" * 52,
        "fixed:r:r:sha256:" + "0" * 52,
        "fixed:git:sha1:" + "0" * 32,
        "text:sha1:" + "0" * 32,
        "text:r:sha256:" + "0" * 52,
        "source:sha256:" + "0" * 52,
        "fixed:r:sha256:" + "0" * 100_000,
    ],
)
def test_an_invalid_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^(content address|nix32) ?.*: got .*, expected "):
        ContentAddress.parse(text)


# --- paths


@pytest.mark.parametrize(
    ("method", "algorithm", "base"),
    [  # nix-store --add-fixed [--recursive] ALGORITHM hi
        ("fixed:r", "sha256", "a1ps36f9hgswz9k0s9hxkywj2vbz7ibx-hi"),
        ("fixed:r", "sha1", "85piglwawmdadpi5vgwyaqfxa00hnz61-hi"),
        ("fixed", "sha256", "zaifgd8l1s0f04mcfzd2ag1bh5rvb3yi-hi"),
        ("fixed", "sha1", "5a251m7dribdbda3y90f5hxx0csjs3p4-hi"),
        ("fixed", "md5", "80845pyi6rxp2j414mv2ly2l440ysy13-hi"),
        ("fixed", "sha512", "1r58lggp1vw0swqq5g94qpj8i24l4s23-hi"),
    ],
)
def test_a_path_is_the_one_that_nix_computes(method: str, algorithm: str, base: str) -> None:
    found = of_file(method, algorithm)
    path = StorePath.parse_base(base)
    assert found.make_path("hi", (), self_reference=False) == path
    assert found.matches(info_of(path, b""))
    assert found.make_path("hi2", (), self_reference=False).hash != path.hash


def test_the_path_of_a_text_is_the_one_that_nix_computes() -> None:
    """``builtins.toFile "x" "hello"``."""
    found = ContentAddress("text", "sha256", hashlib.sha256(b"hello").digest())
    assert found.make_path("x", (), self_reference=False).base == "4g4g9i669dl63abpww0djbl2jxl6bwiz-x"


@pytest.mark.parametrize("found", [of_file("fixed:r", "sha256"), of_file("text", "sha256")])
def test_the_path_depends_on_references(found: ContentAddress) -> None:
    paths = {
        found.make_path("x", references, self_reference=False) for references in ((), (GLIBC,), (ZLIB,), (ZLIB, GLIBC))
    }
    assert len(paths) == 4
    assert found.make_path("x", [GLIBC, ZLIB], self_reference=False) == found.make_path(
        "x", {ZLIB, GLIBC}, self_reference=False
    )


def test_the_path_depends_on_a_self_reference() -> None:
    found = of_file("fixed:r", "sha256")
    path = found.make_path("x", (GLIBC,), self_reference=True)
    assert path != found.make_path("x", (GLIBC,), self_reference=False)
    assert found.matches(info_of(path, b"", GLIBC, path))
    assert not found.matches(info_of(path, b"", GLIBC))


@pytest.mark.parametrize("found", [of_file("fixed", "sha256"), of_file("fixed:r", "sha1")])
def test_other_addresses_cannot_have_references(found: ContentAddress) -> None:
    for references, self_reference in (((GLIBC,), False), ((), True)):
        with pytest.raises(
            FormatError, match=r"^content address fixed:.*: got references, expected a path without references$"
        ):
            found.make_path("x", references, self_reference)
    path = found.make_path("x", (), self_reference=False)
    assert not found.matches(info_of(path, b"", GLIBC))


def test_a_text_cannot_have_a_self_reference() -> None:
    with pytest.raises(FormatError, match="got references, expected a path without references"):
        of_file("text", "sha256").make_path("x", (), self_reference=True)


@pytest.mark.parametrize("name", ["", "a/b", "x" * 212, "ü"])
def test_a_name_must_be_valid_for_a_store_path(name: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^store path: got "):
        of_file("fixed", "sha256").make_path(name, (), self_reference=False)


def test_the_address_of_a_narinfo_must_match_its_path() -> None:
    found = of_file("fixed:r", "sha256")
    info = info_of(found.make_path("hi", (), self_reference=False), nar_of(File(HI)))

    def is_claimed(text: str, info: PathInfo = info) -> bool:
        return has_matching_address(narinfo.NarInfo(info, "x", "none", (), address=text))

    assert is_claimed(str(found))
    assert not is_claimed("")
    assert not is_claimed("fixed:r:sha256:x")
    assert not is_claimed(str(of_file("fixed", "sha256")))
    assert not is_claimed(str(found), PathInfo(info.path, info.nar_hash, 1, frozenset({GLIBC})))
    assert not is_claimed(str(found), PathInfo(StorePath(info.path.hash + "-ho"), info.nar_hash, 1, frozenset()))


# --- content


def test_an_address_may_equal_the_nar_hash() -> None:
    found, data = of_file("fixed:r", "sha256"), nar_of(File(HI))
    assert found.equals_nar_hash(info_of(GLIBC, data, ZLIB))
    assert not found.equals_nar_hash(info_of(GLIBC, data, GLIBC))
    assert not found.equals_nar_hash(info_of(GLIBC, data + b"x"))
    assert not ContentAddress("fixed", "sha256", found.raw).equals_nar_hash(info_of(GLIBC, data))


@pytest.mark.parametrize("size", [1, 7, 96, 1 << 20])
@pytest.mark.parametrize("method", ["text", "fixed", "fixed:r"])
def test_a_file_matches_its_address(method: str, size: int) -> None:
    found, data = of_file(method, "sha256"), nar_of(File(HI))
    info = info_of(GLIBC, data)
    assert content_matches(found, info, data, size)
    assert not content_matches(found, info, nar_of(File(b"ho\n")), size)
    assert not content_matches(found, info, nar_of(File(HI, executable=True)), size)


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 70_000])
def test_a_file_of_any_length_matches_its_address(length: int) -> None:
    content = os.urandom(length)
    found, data = ContentAddress("fixed", "sha1", hashlib.sha1(content).digest()), nar_of(File(content))
    assert content_matches(found, info_of(GLIBC, data), data)
    assert content_matches(found, info_of(GLIBC, data), data, 5)


@pytest.mark.parametrize("item", [{}, {b"a": File(HI)}, Link(HI)])
def test_only_a_regular_file_matches_a_flat_address(item: Item) -> None:
    assert not content_matches(of_file("fixed", "sha256"), info_of(GLIBC, b""), nar_of(item))


def test_a_truncated_or_extended_nar_does_not_match() -> None:
    found, data = of_file("fixed", "sha256"), nar_of(File(HI))
    for other in (b"", data[:-1], data[:-16], data[:96], data + b"x", data + bytes(100), b"x" + data[1:]):
        assert not content_matches(found, info_of(GLIBC, data), other)
    hollow = ContentAddress("fixed", "sha256", hashlib.sha256(b"").digest())
    assert not content_matches(hollow, info_of(GLIBC, b""), b"")


def test_a_content_may_contain_its_own_hash() -> None:
    """The hash is replaced by zeros, so the path can be computed before it is known."""
    data = nar_of({b"bin": Link(b"/nix/store/" + OLD + b"-x/bin"), b"a": File(OLD * 2)})
    modulo = ModuloHash(OLD.decode())
    modulo.feed(data)
    found = ContentAddress("fixed:r", "sha256", modulo.digest())
    path = found.make_path("x", (GLIBC,), self_reference=True)
    own = data.replace(OLD, path.hash.encode())
    info = info_of(path, own, GLIBC, path)
    assert found.matches(info)
    assert all(content_matches(found, info, own, size) for size in (1, 31, 32, 33, 1 << 20))
    assert not content_matches(found, info, data)
    assert not content_matches(found, info_of(path, own, GLIBC), own)  # it does not say that it refers to itself


def test_an_address_without_offsets_matches_too() -> None:
    """Nix 2.17 to 2.34 computed these."""
    data = nar_of({b"bin": Link(b"/nix/store/" + OLD + b"-x/bin"), b"a": File(OLD * 2)})
    found = ContentAddress("fixed:r", "sha256", hashlib.sha256(data.replace(OLD, bytes(32))).digest())
    path = found.make_path("x", (), self_reference=True)
    own = data.replace(OLD, path.hash.encode())
    assert content_matches(found, info_of(path, own, path), own)
    assert not content_matches(found, info_of(path, data, path), data)


def test_offsets_are_part_of_the_hash() -> None:
    """This distinguishes zeros in the content from replaced hashes."""
    text = b"a" + OLD + b"b"
    found = ModuloHash(OLD.decode())
    found.feed(text)
    assert found.digest() == hashlib.sha256(text.replace(OLD, bytes(32)) + b"|1").digest()
    for other in (text.replace(OLD, bytes(32)), b"ab"):
        plain = ModuloHash(OLD.decode())
        plain.feed(other)
        assert plain.digest() == hashlib.sha256(other).digest()


# --- rewriting


def test_a_text_is_replaced() -> None:
    rewriter = Rewriter(OLD, NEW)
    assert rewriter.feed(b"x" + OLD + b"y" + OLD[:10]) == b"x" + NEW
    assert rewriter.feed(OLD[10:] + OLD) == b"y" + NEW + NEW
    assert rewriter.feed(OLD[:31]) == b""
    assert rewriter.close() == OLD[:31]
    assert list(rewriter.offsets) == [1, 34, 66]


def test_the_first_of_two_overlapping_texts_is_replaced() -> None:
    rewriter = Rewriter(b"aa", b"bb")
    assert b"".join((*map(rewriter.feed, (b"a", b"a", b"a", b"a", b"a")), rewriter.close())) == b"bbbba"
    assert list(rewriter.offsets) == [0, 2]


def test_texts_of_different_lengths_are_refused() -> None:
    for old, new in ((OLD, NEW[1:]), (b"", b"")):
        with pytest.raises(InvalidArgument, match=r"expected \d+ bytes$"):
            Rewriter(old, new)


def test_the_number_of_offsets_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content_address, "MAX_OFFSETS", 3)
    rewriter = Rewriter(OLD, NEW)
    rewriter.feed(OLD * 3)
    with pytest.raises(FormatError, match="more than 3 times"):
        rewriter.feed(OLD)
