"""A folder of store paths without a database as a store."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.fake_nix_store import (
    FakeStore,
    example,
    store_path,
)

from lamina.errors import NotFound
from lamina.stores.local.folder import FolderStore


@pytest.fixture
def store(tmp_path: Path) -> FakeStore:
    return example(tmp_path / "root")[0]


HELLO = store_path("hello-2.12.1")


def test_a_folder_has_contents_but_no_path_infos(store: FakeStore) -> None:
    folder = FolderStore(store.root)
    assert folder.query([HELLO]) == {}
    assert (folder.find("hello"), folder.has_index) == ((), False)
    assert [node.path for node in folder.nodes(HELLO)] == [b"", b"bin", b"bin/hello", b"share"]


def test_a_path_that_is_not_in_the_folder_is_not_found(store: FakeStore) -> None:
    with pytest.raises(NotFound, match="got nothing there, expected a store path"):
        FolderStore(store.root).nodes(store_path("other"))
