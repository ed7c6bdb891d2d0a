"""Scanning for hashes: all that occur are found, and nothing else."""

from collections.abc import Iterable

import pytest

from lamina.formats.hash_scanner import HashScanner, find_digit_runs

HASH, OTHER = "0c4a744h9ia7v9mig6h7vvwaf2lfcfsl", "1hc42b37ja6apgn550a10ikj6vb9db1n"
MANY = [f"{number:0>32}" for number in range(1000)]


def scan_hashes(data: bytes, hashes: Iterable[str]) -> set[str]:
    scanner = HashScanner(hashes)
    scanner.feed(data)
    return scanner.found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", set()),
        (HASH, {HASH}),
        (f"x{HASH}y", {HASH}),
        (f"/nix/store/{HASH}-hello {OTHER}", {HASH, OTHER}),
        (HASH[:-1], set()),
        (HASH[:16] + "-" + HASH[16:], set()),
        (HASH.upper(), set()),
        (HASH[1:] + HASH[:1], set()),
        (HASH + OTHER, {HASH, OTHER}),
    ],
)
@pytest.mark.parametrize("more", [[], MANY])
def test_a_hash_is_found_exactly_if_it_occurs(text: str, found: set[str], more: list[str]) -> None:
    assert scan_hashes(text.encode(), [HASH, OTHER, *more]) == found


def test_only_given_hashes_are_found() -> None:
    assert scan_hashes(f"{HASH} {OTHER}".encode(), [OTHER]) == {OTHER}
    assert scan_hashes(HASH.encode(), []) == set()


@pytest.mark.parametrize("size", [1, 2, 15, 16, 31, 32, 33, 64])
def test_a_hash_is_found_across_two_buffers(size: int) -> None:
    for before in range(34):
        data = b"." * before + HASH.encode() + OTHER.encode() + b"\0"
        scanner = HashScanner([HASH, OTHER])
        for start in range(0, len(data), size):
            scanner.feed(memoryview(data)[start : start + size])
        assert scanner.found == {HASH, OTHER}


def test_two_halves_with_bytes_between_them_are_not_found() -> None:
    scanner = HashScanner([HASH])
    for piece in (HASH[:16], "-", HASH[16:]):
        scanner.feed(piece.encode())
    assert not scanner.found


def test_many_hashes_are_found_in_a_long_run() -> None:
    assert scan_hashes("".join(MANY).encode(), MANY) == set(MANY)
    assert scan_hashes("".join(MANY).encode(), MANY[:50]) == set(MANY[:50])


def test_memory_does_not_grow() -> None:
    scanner = HashScanner([HASH])
    for _ in range(100):
        scanner.feed(b"x" * 1000)
    assert len(scanner._tail) == 31


def test_runs_of_digits_are_as_long_as_possible() -> None:
    assert list(find_digit_runs(f"{HASH}e{HASH}{HASH}-{HASH[1:]}E{OTHER}".encode())) == [
        HASH.encode(),
        HASH.encode() * 2,
        OTHER.encode(),
    ]
