"""The stores of a spec, opened for a block, and whose signatures are trusted."""

from pathlib import Path

from tests.support.binary_cache import KEY
from tests.support.factories import MemoryStore, infos, path
from tests.support.fake_nix_store import example

from lamina.formats.keys import CACHE_NIXOS_ORG
from lamina.inputs.spec import StoreSpec
from lamina.inputs.stores import make_store_access, make_trust, open_store


def test_a_store_of_the_callers_own_is_used_as_it_is() -> None:
    spec = StoreSpec.parse({"store": MemoryStore(infos("A"))})
    with open_store(spec, None, []) as store:
        assert store is spec.store
        assert set(store.query([path("A")])) == {path("A")}


def test_named_stores_are_opened_for_the_block(tmp_path: Path) -> None:
    made, _ = example(tmp_path / "root")
    spec = StoreSpec.parse({"store": str(made.root)})
    with open_store(spec, None, []) as store:
        assert set(store.query(made.numbers)) == set(made.numbers)


def test_keys_are_added_to_the_default_one(tmp_path: Path) -> None:
    trust = make_trust(StoreSpec.parse({"trusted_keys": str(KEY.public)}))
    assert trust.keys == (CACHE_NIXOS_ORG, KEY.public)
    assert not trust.allow_unsigned
    assert make_trust(StoreSpec.parse({"verify_signatures": False})).allow_unsigned


def test_warnings_and_folders_reach_the_stores(tmp_path: Path) -> None:
    warnings: list[str] = []
    access = make_store_access(StoreSpec.parse({"offline": True}), tmp_path, warnings)
    access.warn("careful")
    assert warnings == ["careful"]
    assert (access.embedded_store, access.offline) == (tmp_path, True)
