"""The public functions that check, clean, copy and sign an embedded store."""

import io
from pathlib import Path

import pytest
from tests.support.binary_cache import KEY
from tests.support.embedded_store import check_cache, fetch_example, narinfos_by_package
from tests.support.paths import EXAMPLES

import lamina
from lamina.system.keyfile import write_key

CACHE = f"file://{EXAMPLES}/cache"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return fetch_example(tmp_path / "store").folder


def count(folder: Path) -> int:
    return len(lamina.list_paths(embedded_store=folder))


def damage(store: Path) -> None:
    file = store / narinfos_by_package(store)["hello"].url
    file.chmod(0o644)
    file.write_bytes(b"x" * file.stat().st_size)


def test_a_damaged_path_is_found_and_fetched_again(store: Path) -> None:
    assert lamina.verify_store(embedded_store=store).damaged == ()
    damage(store)
    assert len(lamina.verify_store(embedded_store=store).damaged) == 1
    lamina.verify_store(embedded_store=store, repair=True, store=CACHE, verify_signatures=False)
    assert lamina.verify_store(embedded_store=store).damaged == ()


def test_a_repair_needs_a_cache(store: Path) -> None:
    for where in ((), str(store)):
        with pytest.raises(lamina.InvalidArgument, match=r"^repair: got "):
            lamina.verify_store(embedded_store=store, repair=True, store=where)


def test_garbage_is_what_no_root_needs(store: Path) -> None:
    before = count(store)
    planned = lamina.collect_garbage("licence", embedded_store=store, dry_run=True)
    assert count(store) == before
    assert lamina.collect_garbage("licence", embedded_store=store) == planned
    assert count(store) == 1
    lamina.collect_garbage(all_paths=True, embedded_store=store)
    assert count(store) == 0


@pytest.mark.parametrize("to_file", [True, False])
def test_an_export_is_imported_into_another_store(store: Path, tmp_path: Path, to_file: bool) -> None:
    stream = io.BytesIO()
    output = tmp_path / "export" if to_file else stream
    exported = lamina.export_paths("hello", output=output, embedded_store=store)
    stream.seek(0)
    seen: list[object] = []
    imported = lamina.import_paths(output, embedded_store=tmp_path / "other", on_path=seen.append)
    assert len(imported) == len(exported) == len(seen) == count(tmp_path / "other")


def test_a_file_that_is_no_export_is_named(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no export")
    with pytest.raises(lamina.FormatError, match="text"):
        lamina.import_paths(tmp_path / "text", embedded_store=tmp_path / "store")
    with pytest.raises(lamina.InputError, match="none"):
        lamina.import_paths(tmp_path / "none", embedded_store=tmp_path / "store")


def test_paths_are_pushed_to_a_cache(store: Path, tmp_path: Path) -> None:
    lamina.push_paths("licence", to=f"file://{tmp_path}/cache", embedded_store=store, compression="gzip")
    assert [path.package for path in check_cache(tmp_path / "cache")] == ["licence"]


def test_a_signature_is_added_once_and_the_key_is_public(store: Path, tmp_path: Path) -> None:
    write_key(KEY, tmp_path / "key")
    for _ in range(2):
        (signed,) = lamina.sign_paths("licence", key_file=tmp_path / "key", embedded_store=store)
        assert sum(text.startswith(f"{KEY.name}:") for text in signed.signatures) == 1
    assert len(lamina.sign_paths("hello", key_file=tmp_path / "key", embedded_store=store, recursive=True)) > 1


def test_a_generated_key_is_in_a_new_file(tmp_path: Path) -> None:
    public = lamina.generate_key("cache-1", tmp_path / "key")
    assert public.name == "cache-1"
    with pytest.raises(lamina.OutputError):
        lamina.generate_key("cache-1", tmp_path / "key")


def test_roots_and_all_paths_exclude_each_other(store: Path, tmp_path: Path) -> None:
    for arguments in ({}, {"roots": "hello", "all_paths": True}):
        with pytest.raises(lamina.InvalidArgument):
            lamina.collect_garbage(embedded_store=store, **arguments)  # type: ignore[arg-type]
        with pytest.raises(lamina.InvalidArgument):
            lamina.export_paths(output=tmp_path / "x", embedded_store=store, **arguments)  # type: ignore[arg-type]
