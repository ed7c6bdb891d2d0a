"""The file nix-cache-info: its fields, optional fields and invalid files."""

import pytest
from tests.support.paths import EXAMPLES

from lamina.errors import FormatError, Unavailable
from lamina.formats.cache_info import FILE_NAME, CacheInfo, check_cache_info

EXAMPLE = EXAMPLES / "cache" / FILE_NAME


def test_the_example_is_of_our_store() -> None:
    assert CacheInfo.parse(EXAMPLE.read_bytes()).store_dir == "/nix/store"


def test_all_fields() -> None:
    found = CacheInfo.parse(b"StoreDir: /gnu/store\nWantMassQuery: 1\nPriority: 40\n")
    assert found == CacheInfo("/gnu/store", want_mass_query=True, priority=40)


def test_fields_without_a_value_are_omitted() -> None:
    for text in ("", "\n", "Unknown: x\n"):
        assert CacheInfo.parse(text.encode()) == CacheInfo("/nix/store", want_mass_query=False, priority=None)


def test_irrelevant_differences_are_ignored() -> None:
    """Nix ignores unknown keys, empty lines, spaces around a value, CR, and a missing line end."""
    found = CacheInfo.parse(b"X: y\r\nX: y\r\n\r\nPriority:  -7 \r\nWantMassQuery:1\r\nStoreDir: /nix/store")
    assert found == CacheInfo(want_mass_query=True, priority=-7)


@pytest.mark.parametrize("value", ["0", "", "yes", "11"])
def test_only_1_is_true(value: str) -> None:
    assert not CacheInfo.parse(f"WantMassQuery: {value}\n".encode()).want_mass_query


@pytest.mark.parametrize(
    "found",
    [CacheInfo(), CacheInfo("/a b", want_mass_query=True), CacheInfo(priority=0), CacheInfo(priority=-999_999_999)],
)
def test_a_dump_parses_back(found: CacheInfo) -> None:
    assert CacheInfo.parse(found.dump().encode()) == found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Priority: high", "nix-cache-info: got Priority 'high', expected a number of at most 9 digits"),
        ("Priority:", "nix-cache-info: got Priority '', expected a number of at most 9 digits"),
        ("Priority: 4.0", "nix-cache-info: got Priority '4.0', expected a number of at most 9 digits"),
        ("Priority: ٣", "nix-cache-info: got Priority '٣', expected a number of at most 9 digits"),
        ("X: y\n<html>\n", "nix-cache-info line 2: got '<html>', expected KEY: VALUE"),
        ("StoreDir: nix/store", "nix-cache-info: got StoreDir 'nix/store', expected an absolute path"),
        ("StoreDir:", "nix-cache-info: got StoreDir '', expected an absolute path"),
        ("Priority: 1\nPriority: 1", "nix-cache-info line 2: got a second Priority, expected one"),
    ],
)
def test_garbage_is_refused(text: str, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        CacheInfo.parse(text.encode())
    assert str(caught.value) == message


def test_a_long_number_is_refused() -> None:
    with pytest.raises(FormatError, match="Priority"):
        CacheInfo.parse(b"Priority: " + b"9" * 5000)


def test_a_cache_of_another_store_directory_is_refused() -> None:
    check_cache_info(EXAMPLE.read_bytes(), "the cache")
    with pytest.raises(Unavailable, match="the cache: got a cache for /gnu/store, expected one for /nix/st"):
        check_cache_info(b"StoreDir: /gnu/store\n", "the cache")
    with pytest.raises(FormatError, match="the cache: nix-cache-info line 1: got 'x', expected KEY: VALUE"):
        check_cache_info(b"x", "the cache")
