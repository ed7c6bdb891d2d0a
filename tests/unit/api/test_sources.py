"""Stores that a program opens for itself."""

from pathlib import Path

import pytest
from tests.support.example_store import CACHE, KEY, example_store, hello

import lamina


def test_a_store_answers_within_its_block(tmp_path: Path) -> None:
    example_store(tmp_path)
    with lamina.open_store(store=tmp_path) as store:
        assert store.find("hello") == (hello(),)
        closure = lamina.Closure.resolve([hello()], store.query)
    assert len(closure) == 6


def test_what_a_cache_sends_is_kept_in_the_embedded_store(tmp_path: Path) -> None:
    with lamina.open_store(store=CACHE, trusted_keys=KEY, embedded_store=tmp_path) as store:
        paths = [info.path for info in lamina.Closure.resolve([hello()], store.query).bottom_up]
        for path in paths:
            assert list(store.nodes(path))
    assert {one.info.path for one in lamina.list_paths(embedded_store=tmp_path)} == {*paths}


def test_messages_about_stores_are_added_to_the_list(tmp_path: Path) -> None:
    (tmp_path / "nix-cache-info").write_text("StoreDir: /nix/store\n")
    (tmp_path / f"{hello().hash}.narinfo").write_text("damaged\n")
    warnings: list[str] = []
    with lamina.open_store(store=[tmp_path, CACHE], trusted_keys=KEY, warnings=warnings) as store:
        assert len(store.query([hello()])) == 1
    assert [str(tmp_path) in text for text in warnings] == [True]


def test_a_wrong_argument_is_refused_before_anything_is_opened() -> None:
    with pytest.raises(lamina.InvalidArgument, match="verify_signatures"):
        lamina.open_store(verify_signatures=1)  # type: ignore[arg-type]
