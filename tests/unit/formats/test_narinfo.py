"""The narinfo: those of the example cache, their signatures, and invalid ones."""

import base64
import dataclasses
import hashlib
import re
from pathlib import Path

import pytest
from tests.support.paths import EXAMPLES

from lamina.core.names import Digest, StorePath
from lamina.errors import FormatError
from lamina.formats import narinfo

NARINFOS = sorted((EXAMPLES / "cache").glob("*.narinfo"))

NARINFO = """\
StorePath: /nix/store/2g13aaaa0000000000000000000000ab-hello-2.10
URL: nar/1cbfg6.nar.xz?x=y
Compression: xz
FileHash: sha256:094qif9n4cq4fdg459qzbhg1c6wywawwaaivx0k0x8xhbyx4vwic
FileSize: 41232
NarHash: sha256:094qif9n4cq4fdg459qzbhg1c6wywawwaaivx0k0x8xhbyx4vwic
NarSize: 206104
References: 2g13aaaa0000000000000000000000ab-hello-2.10 0s9qbbbb000000000000000000000000-glibc-2.33-59
Deriver: 1111aaaa0000000000000000000000ab-hello-2.10.drv
System: x86_64-linux
Sig: cache-1:AAAA
Sig: other-1:BBBB
CA: fixed:r:sha256:094qif9n4cq4fdg459qzbhg1c6wywawwaaivx0k0x8xhbyx4vwic
"""
HELLO = "/nix/store/2g13aaaa0000000000000000000000ab-hello-2.10"
GLIBC = "/nix/store/0s9qbbbb000000000000000000000000-glibc-2.33-59"


def without(key: str) -> str:
    return re.sub(f"^{key}:.*\n", "", NARINFO, flags=re.MULTILINE)


def with_value(key: str, value: str) -> str:
    return re.sub(f"^{key}:.*$", lambda _: f"{key}: {value}", NARINFO, flags=re.MULTILINE)


# --- verification of Ed25519 signatures (RFC 8032, section 5.1)

P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P
Point = tuple[int, int]


def added(first: Point, second: Point) -> Point:
    (x1, y1), (x2, y2) = first, second
    product = D * x1 * x2 * y1 * y2
    return (
        (x1 * y2 + x2 * y1) * pow(1 + product, -1, P) % P,
        (y1 * y2 + x1 * x2) * pow(1 - product, -1, P) % P,
    )


def times(number: int, point: Point) -> Point:
    result = (0, 1)
    while number:
        if number & 1:
            result = added(result, point)
        point, number = added(point, point), number >> 1
    return result


def point(raw: bytes) -> Point:
    number = int.from_bytes(raw, "little")
    y, odd = number & (1 << 255) - 1, number >> 255
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    return (x if x & 1 == odd else P - x), y


BASE = point((4 * pow(5, -1, P) % P).to_bytes(32, "little"))


def is_signed(message: str, signature: bytes, key: bytes) -> bool:
    start, scalar = signature[:32], int.from_bytes(signature[32:], "little")
    challenge = int.from_bytes(hashlib.sha512(start + key + message.encode()).digest(), "little")
    return times(scalar, BASE) == added(point(start), times(challenge, point(key)))


@pytest.mark.parametrize("file", NARINFOS, ids=lambda file: file.name)
def test_the_example_is_signed(file: Path) -> None:
    """The fingerprint that Nix signs has the path, NAR hash, NAR size and sorted references."""
    found = narinfo.parse(file.read_text(encoding="utf-8"))
    name, _, key = (EXAMPLES / "public-key").read_text(encoding="utf-8").strip().partition(":")
    (signature,) = (text.removeprefix(f"{name}:") for text in found.signatures if text.startswith(f"{name}:"))
    assert is_signed(found.fingerprint, base64.b64decode(signature), base64.b64decode(key))
    assert not is_signed(found.fingerprint + " ", base64.b64decode(signature), base64.b64decode(key))


@pytest.mark.parametrize("file", NARINFOS, ids=lambda file: file.name)
def test_the_url_of_the_example_is_its_nar(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    found = narinfo.parse(text)
    assert found.info.path.hash == file.stem
    assert (file.parent / found.url).is_file()
    assert found.compression == "xz"
    assert f"NarHash: {found.info.nar_hash.nix32}\nNarSize: {found.info.nar_size}\n" in text
    assert {str(path) for path in found.info.references} == {
        f"/nix/store/{base}" for base in re.findall(r"^References: (.*)$", text, re.MULTILINE)[0].split()
    }


def test_there_are_examples() -> None:
    assert len(NARINFOS) == 7


# --- fields


def test_all_fields() -> None:
    found = narinfo.parse(NARINFO)
    assert found.info.path == StorePath.parse(HELLO)
    assert found.info.nar_hash == Digest.from_hex("2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824")
    assert found.info.nar_size == 206104
    assert found.info.references == {StorePath.parse(HELLO), StorePath.parse(GLIBC)}
    assert found.url == "nar/1cbfg6.nar.xz?x=y"
    assert found.signatures == ("cache-1:AAAA", "other-1:BBBB")
    assert found.file_hash == found.info.nar_hash
    assert found.file_size == 41232
    assert found.deriver == "1111aaaa0000000000000000000000ab-hello-2.10.drv"
    assert found.address == f"fixed:r:{found.info.nar_hash.nix32}"
    assert found.extra_fields == (("System", "x86_64-linux"),)


def test_a_minimal_narinfo_is_accepted() -> None:
    text = "".join(re.findall("(?:StorePath|URL|NarHash|NarSize): .*\n", NARINFO))
    found = narinfo.parse(text)
    assert (found.compression, found.signatures, found.deriver, found.address) == ("bzip2", (), "", "")
    assert (found.file_hash, found.file_size, found.extra_fields) == (None, None, ())
    assert not found.info.references
    assert narinfo.parse(found.dump()) == found


@pytest.mark.parametrize("file", NARINFOS, ids=lambda file: file.name)
def test_the_example_is_dumped_as_nix_wrote_it(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert narinfo.parse(text).dump() == text


def test_fields_are_dumped_in_order() -> None:
    found = narinfo.parse("".join(sorted(NARINFO.splitlines(keepends=True))))
    in_order = NARINFO.replace(
        "References: 2g13aaaa0000000000000000000000ab-hello-2.10 0s9qbbbb000000000000000000000000-glibc-2.33-59",
        "References: 0s9qbbbb000000000000000000000000-glibc-2.33-59 2g13aaaa0000000000000000000000ab-hello-2.10",
    )
    assert found.dump() == in_order


def test_the_fingerprint_has_full_paths_in_order() -> None:
    assert narinfo.parse(NARINFO).fingerprint == (
        f"1;{HELLO};sha256:094qif9n4cq4fdg459qzbhg1c6wywawwaaivx0k0x8xhbyx4vwic;206104;{GLIBC},{HELLO}"
    )
    assert narinfo.parse(without("References")).fingerprint.endswith(";206104;")


@pytest.mark.parametrize("spelling", ["hex", "nix32", "sri"])
def test_a_hash_may_have_any_encoding(spelling: str) -> None:
    digest = Digest(bytes(range(32)))
    text = {"hex": str(digest), "nix32": digest.nix32, "sri": digest.sri}[spelling]
    assert narinfo.parse(with_value("NarHash", text)).info.nar_hash == digest


@pytest.mark.parametrize("size", [1, (1 << 63) - 1])
def test_a_size_has_63_bits(size: int) -> None:
    assert narinfo.parse(with_value("NarSize", str(size))).info.nar_size == size


@pytest.mark.parametrize("key", ["FileHash", "FileSize", "References", "Deriver", "Sig", "CA"])
def test_optional_fields_may_be_missing(key: str) -> None:
    assert narinfo.parse(without(key)).info.path == StorePath.parse(HELLO)


@pytest.mark.parametrize("text", [without("Compression"), with_value("Compression", "")])
def test_no_compression_means_bzip2(text: str) -> None:
    assert narinfo.parse(text).compression == "bzip2"


def test_references_may_be_empty() -> None:
    for value in ("", " "):
        assert not narinfo.parse(with_value("References", value)).info.references
    assert not narinfo.parse(NARINFO.replace("References: 2g13", "References:\nX: 2g13")).info.references


def test_unknown_fields_are_preserved_in_order() -> None:
    found = narinfo.parse(NARINFO + "Weather: fine:\tvery\nNothing:\nA: ü\n")
    more = (("Weather", "fine:\tvery"), ("Nothing", ""), ("A", "ü"))
    known = narinfo.parse(NARINFO)
    assert found == dataclasses.replace(known, extra_fields=known.extra_fields + more)
    assert narinfo.parse(found.dump()) == found


def test_an_unknown_deriver_is_empty() -> None:
    assert narinfo.parse(with_value("Deriver", "unknown-deriver")).deriver == ""


def test_a_file_size_of_0_is_none() -> None:
    """Nix writes 0 for an unknown size."""
    assert narinfo.parse(with_value("FileSize", "0")).file_size is None


@pytest.mark.parametrize("url", ["nar/x.nar", "x", "nar/x?y=z:/&a=..", "nar/x y", "a..b/...", "./x", "nar/ü", "a/b:c"])
def test_a_url_outside_of_the_cache_is_refused(url: str) -> None:
    assert narinfo.parse(with_value("URL", url)).url == url


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("./nar/x", "nar/x"),
        ("nar/./x", "nar/x"),
        ("././nar//x", "nar/x"),
        ("/./nar/x", "nar/x"),
        ("/nar/x", "nar/x"),
        ("nar/x/", "nar/x/"),
        ("nar/.", "nar/."),
        ("nar/.x", "nar/.x"),
    ],
)
def test_dots_in_a_url_are_removed_from_a_file_name(url: str, name: str) -> None:
    assert narinfo.parse(with_value("URL", url)).file_name == name


SIGNED = ("StorePath", "NarHash", "NarSize", "References")
UNSIGNED = ("FileHash", "FileSize", "Deriver", "CA", "Sig", "System", "Weather")


@pytest.mark.parametrize(
    "value", ["", "x", "../x", HELLO, "hello.drv", "x\r", "x\0", "\udcff", "9" * 5000, "unknown-deriver"]
)
@pytest.mark.parametrize("key", UNSIGNED)
def test_an_invalid_unsigned_field_is_ignored(key: str, value: str) -> None:
    known = narinfo.parse(NARINFO)
    for text in (without(key) + f"{key}: {value}\n", NARINFO + f"{key}: {value}\n"):
        for found in (narinfo.parse(text), narinfo.parse_bytes(text.encode("utf-8", "surrogateescape"))):
            assert (found.info, found.url, found.compression) == (known.info, known.url, known.compression)
            assert found.fingerprint == known.fingerprint
            assert narinfo.parse(found.dump()) == found


def test_an_invalid_deriver_is_ignored() -> None:
    for value in ("", HELLO, "hello.drv", "../x.drv"):
        assert narinfo.parse(with_value("Deriver", value)).deriver == ""


def test_the_last_value_of_an_unsigned_field_counts() -> None:
    """Nix source, libstore, nar-info: only References and CA are checked for a second line."""
    found = narinfo.parse(
        NARINFO + "Deriver: unknown-deriver\nURL: nar/other.nar\nFileSize: 7\nWeather: 1\nWeather: 2\n"
    )
    assert (found.deriver, found.url, found.file_size) == ("", "nar/other.nar", 7)
    assert found.extra_fields[-1] == ("Weather", "2")


# --- garbage


@pytest.mark.parametrize("key", ["StorePath", "URL", "NarHash", "NarSize"])
def test_a_missing_required_field_is_refused(key: str) -> None:
    for text in (without(key), with_value(key, "")):
        with pytest.raises(FormatError, match=f"no {key}"):
            narinfo.parse(text)


@pytest.mark.parametrize("key", ["StorePath", "NarHash", "References", "NarSize"])
def test_a_second_value_of_a_signed_field_is_refused(key: str) -> None:
    with pytest.raises(FormatError, match=f"line 14: got a second {key}"):
        narinfo.parse(NARINFO + f"{key}: x\n")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("StorePath", "2g13aaaa0000000000000000000000ab-hello"),
        ("StorePath", HELLO + "/bin"),
        ("StorePath", "/gnu/store/2g13aaaa0000000000000000000000ab-hello"),
        ("NarHash", "094qif9n4cq4fdg459qzbhg1c6wywawwaaivx0k0x8xhbyx4vwic"),
        ("NarHash", "md5:3y8bwfr609h3lh9ch0izcqq7fl"),
        ("NarSize", "0"),
        ("NarSize", "-1"),
        ("NarSize", "+1"),
        ("NarSize", "1.5"),
        ("NarSize", "1_000"),
        ("NarSize", " 1"),
        ("NarSize", "٣"),
        ("NarSize", "0x10"),
        ("NarSize", str(1 << 63)),
        ("NarSize", "9" * 5000),  # more digits than Python reads
        ("URL", "//elsewhere/nar/x"),
        ("URL", "file:x"),
        ("URL", "C:x"),
        ("URL", "s3+x.y-z:x"),
        ("URL", ".."),
        ("URL", "../x"),
        ("URL", "nar/../../x"),
        ("URL", "nar/x?/../y"),
        ("URL", "nar\\..\\x"),
        ("URL", "nar/\0"),
        ("URL", "nar/\tx"),
        ("URL", "nar/\x7f"),
        ("URL", "nar/\udcff"),
        ("URL", "nar/x\r"),
        ("Compression", "xz\r"),
        ("References", HELLO),
        ("References", "glibc"),
        ("References", "../../etc/passwd"),
    ],
)
def test_an_invalid_value_is_refused(key: str, value: str) -> None:
    with pytest.raises(FormatError, match=r"^narinfo"):
        narinfo.parse(with_value(key, value))


@pytest.mark.parametrize("line", ["", " ", "x", ": x", ":", "StorePath", "StorePath /nix", "<html>", "X:y", "X:\tz"])
def test_an_invalid_line_is_refused(line: str) -> None:
    with pytest.raises(FormatError, match=r"^narinfo line 14: got .*, expected KEY: VALUE$"):
        narinfo.parse(NARINFO + line + "\n")


def test_a_line_without_a_line_feed_is_refused() -> None:
    """Without one, Nix considers the file corrupt; it treats a CR as part of the value."""
    with pytest.raises(FormatError, match=r"^narinfo line 13: got 'CA: .* without a line end, expected LF at the end$"):
        narinfo.parse(NARINFO[:-1])
    with pytest.raises(
        FormatError, match=r"^narinfo line 1: got .*, expected printable characters, and LF as line end$"
    ):
        narinfo.parse(NARINFO.replace("\n", "\r\n"))


def test_other_characters_do_not_end_a_line() -> None:
    found = narinfo.parse(NARINFO + "Weather: fine\u2028Sig: x:y\x85\n")
    assert found.extra_fields[-1] == ("Weather", "fine\u2028Sig: x:y\x85")
