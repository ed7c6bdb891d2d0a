"""Files of an embedded store that belong to no path."""

from pathlib import Path

import pytest
from tests.support.binary_cache import Cache
from tests.support.factories import File

from lamina.errors import Unavailable
from lamina.stores.embedded.stray_files import find_old_locks, find_orphans, find_stray_files, get_size
from lamina.system.temporary import PartFile


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    cache = Cache(tmp_path / "store")
    cache.add("a-1", {b"a": File(b"a")}, compression="none")
    return cache


def test_a_whole_store_has_none(cache: Cache) -> None:
    narinfos = list(cache.narinfos.values())
    assert find_orphans(cache.folder, narinfos) == []
    assert find_stray_files(cache.folder, narinfos) == []
    assert find_old_locks(cache.folder) == []


def test_a_nar_without_a_narinfo_is_an_orphan(cache: Cache) -> None:
    (cache.folder / "nar/other.nar").write_bytes(b"xyz")
    (used,) = cache.narinfos.values()
    assert find_orphans(cache.folder, [used]) == ["nar/other.nar"]
    assert find_orphans(cache.folder, []) == sorted(["nar/other.nar", used.url])
    assert get_size(cache.folder, "nar/other.nar") == 3
    assert get_size(cache.folder, "nar/none.nar") == 0


def test_listings_of_missing_paths_and_left_files_are_stray(cache: Cache) -> None:
    (used,) = cache.narinfos.values()
    arriving = cache.folder / ".lamina/arriving"
    arriving.mkdir(parents=True)
    (arriving / "left").touch()
    for name in (f"{used.info.path.hash}.ls", f"{'0' * 32}.ls", "notes.txt"):
        (cache.folder / name).touch()
    assert find_stray_files(cache.folder, [used]) == [".lamina/arriving/left", f"{'0' * 32}.ls"]


def test_a_file_that_is_being_written_is_not_stray(cache: Cache) -> None:
    narinfos = list(cache.narinfos.values())
    part = PartFile(cache.folder / "nar", 0o600)
    assert find_stray_files(cache.folder, narinfos) == []
    assert find_orphans(cache.folder, narinfos) == []
    part.discard()


def test_locks_of_fetched_paths_are_listed(cache: Cache) -> None:
    locks = cache.folder / ".lamina/fetching"
    locks.mkdir(parents=True)
    (locks / "b").touch()
    (locks / "a").touch()
    assert find_old_locks(cache.folder) == [".lamina/fetching/a", ".lamina/fetching/b"]


def test_a_store_that_is_no_folder_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match="expected a readable store"):
        find_stray_files(tmp_path / "file", [])
