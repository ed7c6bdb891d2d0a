"""Scanning for store paths in a text that comes in buffers of any size."""

import pytest

from lamina.core.names import StorePath
from lamina.formats.reference_scanner import ReferenceScanner, scan_references

HASH = "0c4a744h9ia7v9mig6h7vvwaf2lfcfsl"
OTHER = "1hc42b37ja6apgn550a10ikj6vb9db1n"
HELLO = StorePath.parse_base(f"{HASH}-hello-2.10")
LONG = StorePath.parse_base(f"{OTHER}-{'E' * 211}")  # as long as a name may be, of letters that no hash has


def fed(data: bytes, size: int) -> ReferenceScanner:
    found = ReferenceScanner()
    for start in range(0, len(data), size):
        found.feed(memoryview(data)[start : start + size])
    found.close()
    return found


@pytest.mark.parametrize(
    "text",
    [
        f"{HELLO}",
        f"#!{HELLO}/bin/sh\n",
        f'{{"Cmd": ["{HELLO}/bin/hello"]}}',
        f"PATH={HELLO}/bin:/bin",
        f"\0{HELLO}\0",
        f"/root/x/nix/store/{HELLO.base}/bin",
        f"..{HELLO}é",
        f"file://{HELLO}",
    ],
)
def test_a_full_path_is_found(text: str) -> None:
    found = scan_references(text.encode())
    assert found.paths == {HELLO}
    assert found.hashes == {HASH}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/nix/store/",
        f"/nix/store/{HASH}",
        f"/nix/store/{HASH}-",
        f"/nix/store/{HASH}/bin",
        f"/nix/store/{HASH[1:]}-hello",
        f"/nix/store/{HASH.upper()}-hello",
        f"/nix/store/.links/{HASH}-hello",
        f"/gnu/store/{HASH}-hello",
        f"/nix/store/e{HASH[1:]}-hello",
    ],
)
def test_an_invalid_path_is_not_found(text: str) -> None:
    assert not scan_references(text.encode()).paths


@pytest.mark.parametrize(
    ("text", "hashes"),
    [
        (HASH, {HASH}),
        (f"x{HASH}", {HASH, "x" + HASH[:-1]}),
        (f"e{HASH}e", {HASH}),
        (f"-{HASH[:-1]}", set()),
        (f"{HASH}-{OTHER}", {HASH, OTHER}),
        (f"{HASH}\0{OTHER}", {HASH, OTHER}),
        ("0" * 100, {"0" * 32}),
    ],
)
def test_a_hash_alone_is_found(text: str, hashes: set[str]) -> None:
    """Nix's scanner finds the 32 digits of a hash between any other bytes."""
    assert scan_references(text.encode()).hashes == hashes


def test_a_name_ends_before_a_character_that_is_invalid_in_it() -> None:
    found = scan_references(f"{HELLO} {HELLO.base} {LONG}E {HELLO}:{LONG}".encode())
    assert found.paths == {HELLO, LONG}


@pytest.mark.parametrize("size", [1, 2, 3, 31, 32, 33, 43, 44, 254, 255, 256, 1000])
@pytest.mark.parametrize("before", [0, 1, 10, 200, 254, 255, 256, 300])
def test_a_reference_is_found_across_two_buffers(size: int, before: int) -> None:
    """A reference is found anywhere in the text, even if it spans two buffers."""
    data = b"." * before + f"{HELLO}\n{LONG} {OTHER}{HELLO}".encode() + b"/" * before
    found = fed(data, size)
    assert found.paths == {HELLO, LONG}
    assert found.hashes == {HASH, OTHER}


def test_nothing_is_found_in_an_empty_text() -> None:
    empty = ReferenceScanner()
    empty.close()
    empty.close()
    assert (empty.paths, empty.hashes) == (set(), set())


def test_a_reference_does_not_span_two_texts() -> None:
    found = ReferenceScanner()
    found.feed(str(HELLO)[:20].encode())
    found.close()
    found.feed(str(HELLO)[20:].encode())
    found.close()
    assert not found.paths
