"""NARs and narinfos of a store's paths."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.fake_nix_store import FakeStore, example, store_path

from lamina.core.names import Digest
from lamina.core.pathinfo import PathInfo
from lamina.errors import IntegrityError
from lamina.formats.narinfo import NarInfo
from lamina.stores.local.database import LocalStore
from lamina.stores.local.folder import FolderStore
from lamina.stores.nars import copy_nar, find_narinfo

HELLO = store_path("hello-2.12.1")


@pytest.fixture
def disk(tmp_path: Path) -> FakeStore:
    return example(tmp_path / "root")[0]


@pytest.fixture
def info(disk: FakeStore) -> PathInfo:
    return LocalStore(disk.root).query([HELLO])[HELLO]


def test_a_nar_is_copied_whole(disk: FakeStore, info: PathInfo) -> None:
    copied = bytearray()
    copy_nar(FolderStore(disk.root), info, copied.extend)
    assert (len(copied), hashlib.sha256(copied).digest()) == (info.nar_size, info.nar_hash.raw)


def test_a_nar_of_another_hash_or_size_is_an_error_after_its_last_byte(disk: FakeStore, info: PathInfo) -> None:
    for wrong in (replace(info, nar_hash=Digest(bytes(32))), replace(info, nar_size=info.nar_size + 1)):
        copied = bytearray()
        with pytest.raises(IntegrityError, match=f"{HELLO}: got "):
            copy_nar(FolderStore(disk.root), wrong, copied.extend)
        assert len(copied) == info.nar_size


def test_a_store_without_narinfos_gives_one_of_the_path_info(disk: FakeStore, info: PathInfo) -> None:
    assert find_narinfo(FolderStore(disk.root), info) == NarInfo(info, "", "none", ())
    assert find_narinfo(LocalStore(disk.root), info).info == info


def test_a_narinfo_of_other_contents_is_not_used(disk: FakeStore, info: PathInfo) -> None:
    other = replace(info, nar_hash=Digest(bytes(32)))
    assert find_narinfo(LocalStore(disk.root), other) == NarInfo(other, "", "none", ())
