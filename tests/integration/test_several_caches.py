"""Nix and lamina try the next cache if one fails to provide a path, and both fetch the same paths."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.integration.closures import Nix
from tests.scenarios.test_several_caches import (
    TwoCaches,
    a_url_elsewhere,
    another_size,
    damaged,
    empty,
    no_cache_info,
    no_nar,
    no_narinfo,
    rebuild_in_second,
    signed_by_another,
    truncated,
    unknown_compression,
    unsigned,
    wrongly_signed,
)
from tests.support.binary_cache import KEY, Cache, Machine, check_store, example

import lamina

# An invalid narinfo is missing here, because Nix 2.8 gives up on it.
FAULTS: list[Callable[[TwoCaches], object]] = [
    a_url_elsewhere,
    another_size,
    damaged,
    empty,
    no_cache_info,
    no_nar,
    no_narinfo,
    rebuild_in_second,
    signed_by_another,
    truncated,
    unknown_compression,
    unsigned,
    wrongly_signed,
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_nix_and_lamina_take_the_same_paths(nix: Nix, fault: Callable[[TwoCaches], object], tmp_path: Path) -> None:
    first, second = Cache(tmp_path / "first"), Cache(tmp_path / "second")
    (tmp_path / "machine").mkdir()
    both = TwoCaches(first, second, Machine(tmp_path / "machine"), example(first))
    example(second)
    fault(both)
    own = replace(nix, environment={**nix.environment, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "c")})
    # Nix asks caches in the order of their priorities.
    caches = f"{first.url}?priority=1 {second.url}?priority=2"
    trusted = ("--option", "substituters", caches, "--option", "trusted-public-keys", str(KEY.public))
    own.call("nix-store", "--store", tmp_path / "root", "--realise", str(both.root), *trusted)
    nix_paths = set(os.listdir(tmp_path / "root/nix/store")) - {".links"}
    lamina.fetch_paths(
        [str(both.root)],
        embedded_store=tmp_path / "store",
        store=[first.url, second.url],
        trusted_keys=str(KEY.public),
    )
    assert {path.base for path in check_store(tmp_path / "store")} == nix_paths
