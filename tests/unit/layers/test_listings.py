"""Tests of listings: a layer gets those of the layer cache only for the same location and the same NAR hash."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.factories import File, info, packed_bytes, path, write
from tests.support.fake_nix_store import layer_cache_at

from lamina.core.names import Digest
from lamina.formats.tar import Owner
from lamina.layers.listings import LocatedLayer, LocatedPath, put_listings, remove_listings
from lamina.layers.packed import ListedLayer


@pytest.fixture
def located(tmp_path: Path) -> LocatedLayer:
    """Two store paths on disk."""
    paths = []
    for name in "AB":
        top = os.fsencode(tmp_path / path(name).base)
        write({b"file": File(name.encode() * 3)}, top)
        paths.append(LocatedPath(str(path(name)).encode(), top, info(name).nar_hash))
    return LocatedLayer(tuple(paths), Owner(), 1)


def list_files(located: LocatedLayer) -> ListedLayer:
    listed = located.list_files()
    assert listed
    return listed


def test_listings_are_found_again_in_the_layer_cache_until_they_are_removed(
    located: LocatedLayer, tmp_path: Path
) -> None:
    listed = list_files(located)
    with layer_cache_at(tmp_path / "layer_cache") as layer_cache:
        assert located.get_listings(layer_cache) is None
        put_listings(layer_cache, listed)
    with layer_cache_at(tmp_path / "layer_cache") as layer_cache:
        assert located.get_listings(layer_cache) == listed
        remove_listings(layer_cache, listed)
        assert located.get_listings(layer_cache) is None


def test_a_layer_with_one_path_that_the_layer_cache_lacks_has_no_listings_there(
    located: LocatedLayer, tmp_path: Path
) -> None:
    one = replace(located, paths=located.paths[:1])
    with layer_cache_at(tmp_path / "layer_cache") as layer_cache:
        put_listings(layer_cache, list_files(one))
        assert one.get_listings(layer_cache)
        assert located.get_listings(layer_cache) is None


def test_a_path_with_another_nar_hash_or_another_location_is_listed_again(
    located: LocatedLayer, tmp_path: Path
) -> None:
    (first, _) = located.paths
    with layer_cache_at(tmp_path / "layer_cache") as layer_cache:
        put_listings(layer_cache, list_files(located))
        for changes in ({"nar_hash": Digest(bytes(32))}, {"location": b"/elsewhere"}):
            assert replace(located, paths=(replace(first, **changes),)).get_listings(layer_cache) is None


def test_paths_without_a_nar_hash_are_packed_alike_and_are_not_cached(located: LocatedLayer, tmp_path: Path) -> None:
    unknown = replace(located, paths=tuple(replace(one, nar_hash=None) for one in located.paths))
    with layer_cache_at(tmp_path / "layer_cache") as layer_cache:
        put_listings(layer_cache, list_files(unknown))
        assert located.get_listings(layer_cache) is None
    assert packed_bytes(list_files(unknown).pack()) == packed_bytes(list_files(located).pack())


def test_a_layer_is_not_listed_if_one_of_its_paths_is_not(located: LocatedLayer) -> None:
    listing = list_files(located).parts[0].listing
    assert located.with_listings([listing, None]) is None
    assert located.with_listings([listing, listing])
