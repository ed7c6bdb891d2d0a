"""Values of ``--store`` that name no store: what was probably meant."""

from __future__ import annotations

import pytest

from lamina.errors import InvalidArgument, Unavailable
from lamina.stores.unknown_locations import find_nix_store_error, make_missing_error


@pytest.mark.parametrize(
    ("location", "hint"),
    [
        ("local?root=/x", "--store /x reads the store below /x"),
        ("local://?root=/x", "--store /x reads the store below /x"),
        ("daemon", "without --store, or with --store /, lamina reads the store of this machine"),
        ("ssh://host", "copy the paths into a folder first: nix copy --from ssh://host --to file:///FOLDER PATH"),
    ],
)
def test_a_store_that_only_nix_reads_is_refused(location: str, hint: str) -> None:
    error = make_missing_error(location)
    assert type(error) is InvalidArgument
    assert (error.got, error.hint) == ("a store of Nix", hint)


@pytest.mark.parametrize(
    ("location", "hint"),
    [
        ("cache.nixos.org", "write https://cache.nixos.org"),
        ("cache.example.org:8080/nix", "write https://cache.example.org:8080/nix"),
        ("localhost:8080", "write http://localhost:8080"),
        ("https:/cache.nixos.org", "write https://cache.nixos.org"),
        ("s3:bucket", "write s3://bucket"),
        ("file:/srv/cache", "write file:///srv/cache"),
        ("graph.json", ""),
        ("folder", ""),
        ("/none", ""),
    ],
)
def test_the_hint_for_a_missing_store_has_its_url(location: str, hint: str) -> None:
    error = make_missing_error(location)
    assert type(error) is Unavailable
    assert error.hint == hint


@pytest.mark.parametrize("location", ["https://cache.nixos.org", "s3://bucket", "/", "locale"])
def test_a_cache_is_no_store_of_nix(location: str) -> None:
    assert find_nix_store_error(location) is None
