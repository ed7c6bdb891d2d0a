"""Digests, store paths, image references and times: parsing, printing, and what is refused."""

from datetime import UTC, datetime
from typing import Any

import pytest

from lamina.core.names import (
    NIX32,
    Digest,
    ImageReference,
    StorePath,
    dump_nix32,
    parse_datetime,
    parse_nix32,
    parse_repository,
    parse_tag,
)
from lamina.errors import InvalidArgument

HASH = "0c4a744h9ia7v9mig6h7vvwaf2lfcfsl"
HELLO = f"/nix/store/{HASH}-hello-2.10"
# The SHA-256 of "hello" as sha256sum, nix-hash --to-base32 and nix hash to-sri print it.
HEX = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
SPELLINGS = (
    f"sha256:{HEX}",
    "sha256:094qif9n4cq4fdg459qzbhg1c6wywawwaaivx0k0x8xhbyx4vwic",
    "sha256-LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=",
)


# --- nix32


@pytest.mark.parametrize(
    ("digits", "text"),
    [  # nix-hash --to-base32 of the MD5, SHA-1 and SHA-256 of nothing, then of single bits
        ("d41d8cd98f00b204e9800998ecf8427e", "3y8bwfr609h3lh9ch0izcqq7fl"),
        ("da39a3ee5e6b4b0d3255bfef95601890afd80709", "143xibwh31h9bvxzalr0sjvbbvpa6ffs"),
        (
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73",
        ),
        ("01" + "00" * 31, "0" * 51 + "1"),
        ("00" * 31 + "80", "1" + "0" * 51),
        ("ff" * 32, "1" + "z" * 51),
        ("00" * 32, "0" * 52),
    ],
)
def test_nix32_is_encoded_as_nix_does(digits: str, text: str) -> None:
    raw = bytes.fromhex(digits)
    assert dump_nix32(raw) == text
    assert parse_nix32(text, len(raw)) == raw


def test_nix32_has_no_e_o_u_t() -> None:
    assert set("0123456789abcdefghijklmnopqrstuvwxyz") - set(NIX32) == set("eout")
    assert "".join(sorted(NIX32)) == NIX32


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0" * 51,  # a digit too few
        "0" * 53,  # a digit too many
        "2" + "0" * 51,  # 52 digits hold 260 bits, of which the first four must be zero
        "e" + "0" * 51,
        "Z" + "0" * 51,
        " " + "0" * 51,
        "é" * 52,
        "0" * 1_000_000,
    ],
)
def test_nix32_refuses_text_that_does_not_encode_32_bytes(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^nix32 ") as caught:
        parse_nix32(text, 32)
    assert len(str(caught.value)) < 300


# --- digests


@pytest.mark.parametrize("text", SPELLINGS)
def test_a_digest_has_three_forms(text: str) -> None:
    digest = Digest.parse(text)
    assert digest.raw == bytes.fromhex(HEX)
    assert (str(digest), digest.nix32, digest.sri) == SPELLINGS
    assert digest.hex == HEX
    assert Digest.from_hex(HEX) == digest


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256",
        "sha256:",
        "sha256-",
        HEX,
        f"sha256:{HEX.upper()}",
        f"sha256:{HEX[:-1]}",
        f"sha256:{HEX}0",
        f"sha256:{HEX}\n",
        f"sha256 {HEX}",
        f"SHA256:{HEX}",
        f"sha512:{HEX}",
        "md5:3y8bwfr609h3lh9ch0izcqq7fl",
        "sha256:094qif9n4cq4fdg459qzbhg1c6wywawwaaivx0k0x8xhbyx4vwie",
        "sha256-LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ",  # no padding
        "sha256-LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCR=",  # bits behind the last byte
        "sha256-LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=\n",
        "sha256-LPJNul-wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=",  # base 64 for URLs
        "sha256-aGVsbG8=",
        "sha256-é",
    ],
)
def test_a_digest_has_no_other_form(text: str) -> None:
    with pytest.raises(InvalidArgument):
        Digest.parse(text)


def test_a_digest_in_an_oci_document_has_one_form() -> None:
    assert Digest.parse_oci(f"sha256:{HEX}") == Digest.from_hex(HEX)


@pytest.mark.parametrize(
    "text",
    ["", HEX, "sha256:", f"sha256:{HEX.upper()}", f"sha512:{HEX}", f"sha256-{HEX}", f"sha256:{HEX}\n", *SPELLINGS[1:]],
)
def test_a_digest_in_an_oci_document_has_no_other_form(text: str) -> None:
    with pytest.raises(InvalidArgument, match="expected sha256: and 64 hex digits"):
        Digest.parse_oci(text)


# --- store paths


def test_a_store_path_is_a_hash_and_a_name() -> None:
    path = StorePath.parse(HELLO)
    assert (path.hash, path.name, str(path)) == (HASH, "hello-2.10", HELLO)
    assert StorePath.parse_base(f"{HASH}-hello-2.10") == path


@pytest.mark.parametrize("name", ["a", "x" * 211, "+-._?=", "0", "hello-2.10.drv", "a..b"])
def test_valid_names_of_store_paths_are_accepted(name: str) -> None:
    assert StorePath.parse(f"/nix/store/{HASH}-{name}").name == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "/nix/store",
        "/nix/store/",
        HASH,
        f"{HASH}-hello",
        f"/nix/store/{HASH}",
        f"/nix/store/{HASH}-",
        f"/nix/store/{HASH}hello",
        f"/nix/store/{HASH}-{'x' * 212}",
        f"/nix/store/{HASH}-h ello",
        f"/nix/store/{HASH}-hello\n",
        f"/nix/store/{HASH}-hello\0",
        f"/nix/store/{HASH}-é",
        f"/nix/store/{HASH}-\udc80",
        f"/nix/store/{HASH[:-1]}-hello",
        f"/nix/store/{HASH[:-1]}e-hello",
        f"/nix/store/{HASH.upper()}-hello",
        f"/nix/store/{HASH}-hello/",
        f"/nix/store/{HASH}-hello/bin",
        f"/nix/store//{HASH}-hello",
        f"//nix/store/{HASH}-hello",
        f"nix/store/{HASH}-hello",
        f"/gnu/store/{HASH}-hello",
        f"/nix/store/../store/{HASH}-hello",
        f" /nix/store/{HASH}-hello",
    ],
)
def test_other_text_is_not_a_store_path(text: str) -> None:
    with pytest.raises(InvalidArgument):
        StorePath.parse(text)


def test_store_paths_sort_like_their_text() -> None:
    texts = [f"/nix/store/{digit * 32}-{name}" for digit in "0z" for name in ("a", "a-b", "a.b", "aa", "A")]
    assert list(map(str, sorted(map(StorePath.parse, texts)))) == sorted(texts)


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        (HELLO, ""),
        (HELLO + "/", ""),
        (HELLO + "/bin/hello", "bin/hello"),
        (HELLO + "//bin//hello//", "bin/hello"),
        (HELLO + "/.hidden/...", ".hidden/..."),
        (HELLO + "/\udcff", "\udcff"),
    ],
)
def test_split_separates_the_store_path_from_the_rest(text: str, inside: str) -> None:
    assert StorePath.split(text) == (StorePath.parse(HELLO), inside)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/nix/store/",
        "/nix/stores/" + HELLO,
        "/nix/store/x/bin",
        HELLO + "/..",
        HELLO + "/bin/../lib",
        HELLO + "/./bin",
        "/nix/store/../../etc/passwd",
        HELLO[1:],
    ],
)
def test_split_refuses_paths_outside_the_store(text: str) -> None:
    with pytest.raises(InvalidArgument):
        StorePath.split(text)


@pytest.mark.parametrize(
    ("name", "package"),
    [  # nix-instantiate --eval -E '(builtins.parseDrvName "…").name'
        ("nix-0.12pre12876", "nix"),
        ("hello", "hello"),
        ("hello-2.12.1", "hello"),
        ("foo-bar-1.2-bin", "foo-bar"),
        ("ca-certificates-2024", "ca-certificates"),
        ("gcc-12.3.0-lib", "gcc"),
        ("font-0xproto", "font"),
        ("libX11-1.8.7", "libX11"),
        ("7zip-22", "7zip"),
        ("x-y-z", "x-y-z"),
        ("hello-.5", "hello"),
        ("foo-_1", "foo"),
        ("foo--1", "foo"),
        ("foo--", "foo"),
        ("foo-", "foo-"),
        ("-1", ""),
    ],
)
def test_the_package_is_the_name_that_parse_drv_name_returns(name: str, package: str) -> None:
    assert StorePath.parse(f"/nix/store/{HASH}-{name}").package == package


# --- image references


@pytest.mark.parametrize(
    ("text", "repository", "tag"),
    [
        ("hello:1", "hello", "1"),
        ("Hello:Latest", "hello", "Latest"),  # dockerTools lower-cases the name and leaves the tag
        ("registry-1.docker.io/layered-image:t", "registry-1.docker.io/layered-image", "t"),
        ("localhost:5000/a/b:t", "localhost:5000/a/b", "t"),
        ("[::1]:5000/a:t", "[::1]:5000/a", "t"),
        ("a__b.c-d---e_f:_", "a__b.c-d---e_f", "_"),
        ("a:" + "x" * 128, "a", "x" * 128),
        ("a" * 255 + ":t", "a" * 255, "t"),
    ],
)
def test_a_reference_is_a_name_and_a_tag(text: str, repository: str, tag: str) -> None:
    reference = ImageReference.parse(text)
    assert (reference.repository, reference.tag) == (repository, tag)
    assert str(reference) == f"{repository}:{tag}"


@pytest.mark.parametrize("text", ["", ":", "a", "a:", ":a", "localhost:5000/a", "a:b:c", "a@sha256:b", "a :b"])
def test_a_reference_needs_both(text: str) -> None:
    with pytest.raises(InvalidArgument):
        ImageReference.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "a/",
        "/a",
        "a//b",
        "a..b",
        "a___b",
        "-a",
        "a-",
        ".a",
        "a b",
        "a\n",
        "é",
        "\N{KELVIN SIGN}",  # its lower case is an ASCII k
        "a:1",
        "a:/b",
        "x" * 256,
    ],
)
def test_an_invalid_repository_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^image name: got "):
        parse_repository(text)


@pytest.mark.parametrize("text", ["", ".a", "-a", "a b", "a\n", "a/b", "a:b", "é", "x" * 129])
def test_an_invalid_tag_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        parse_tag(text)


# --- times


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("1970-01-01T00:00:01Z", datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)),
        ("1970-01-01T00:00:01+00:00", datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)),
        ("2026-01-31T12:00:00+02:00", datetime(2026, 1, 31, 10, tzinfo=UTC)),
        ("2026-01-31T12:00:00", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31 12:00", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        (" 20260131T120000Z\n", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31T12:00:00.999999Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("1969-12-31T23:59:59.5Z", datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
        ("@0", datetime(1970, 1, 1, tzinfo=UTC)),
        ("@-1", datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (" @1769860800\n", datetime(2026, 1, 31, 12, tzinfo=UTC)),
    ],
)
def test_a_time_is_utc_in_whole_seconds(text: str, moment: datetime) -> None:
    parsed = parse_datetime(text)
    assert parsed == moment
    assert parsed.isoformat() == moment.isoformat()
    assert parse_datetime(parsed.isoformat()) == parsed


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "yesterday",
        "2026",
        "2026-02-30",
        "2026-01-31T25:00:00Z",
        "2026-01-31T12:00:00+25:00",
        "0001-01-01T00:00:00+01:00",  # before the year 1 in UTC
        "9999-12-31T23:59:59-01:00",
        "１９７０-01-01",
        "@",
        "@1.5",
        "@999999999999",
    ],
)
def test_an_invalid_time_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^date: got "):
        parse_datetime(text)


@pytest.mark.parametrize("wrong", ["x", "sha256:00", None])
def test_a_digest_is_made_of_bytes(wrong: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"digest: got .*, expected 32 bytes"):
        Digest(wrong)
    with pytest.raises(InvalidArgument, match=r"digest: got .*, expected sha256:HEX"):
        Digest.parse(wrong and "x")


@pytest.mark.parametrize("wrong", ["x", "/nix/store/00000000000000000000000000000000-x", 5])
def test_a_store_path_is_made_of_its_last_component(wrong: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"store path: got .*, expected HASH-NAME"):
        StorePath(wrong)


def test_a_store_path_is_not_parsed_from_a_number() -> None:
    number: Any = 5
    with pytest.raises(InvalidArgument, match="store path: got 5, expected /nix/store/HASH-NAME"):
        StorePath.parse(number)
