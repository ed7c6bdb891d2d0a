"""Stores as they are named: what kind each is, what is asked first and at all, and where what comes is kept."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest
from tests.support.example_store import CACHE, KEY, hello
from tests.support.fake_nix_store import (
    FakeStore,
    as_nobody,
    example,
    public_folder,
    store_path,
    write_graph,
)
from tests.support.paths import EXAMPLES

from lamina.core.closure import Closure
from lamina.core.names import StorePath
from lamina.core.nodes import Directory, Extent, Regular
from lamina.errors import IntegrityError, InvalidArgument, NotFound, Unavailable
from lamina.formats.keys import PublicKey
from lamina.stores import open as opening
from lamina.stores.binary_cache.trust import Trust
from lamina.stores.embedded.store import EmbeddedStore
from lamina.stores.local.database import LocalStore
from lamina.stores.open import StoreAccess, open_stores
from lamina.stores.protocols import CanPrefetch, HasLocation, PathIndex, Store

# What stands after --store


@pytest.fixture
def store(tmp_path: Path) -> FakeStore:
    return example(tmp_path / "root")[0]


@pytest.fixture
def graph(store: FakeStore, tmp_path: Path) -> Path:
    return write_graph(store, tmp_path / "graph.json")


HELLO = store_path("hello-2.12.1")


def names(store: Store, *paths: StorePath) -> set[str]:
    return {path.name for path in store.query(paths)}


def test_a_folder_that_holds_nix_store_is_a_store(store: FakeStore) -> None:
    opened = open_stores([str(store.root)])
    assert names(opened, HELLO) == {"hello-2.12.1"}
    assert next(iter(opened.nodes(HELLO))) == Directory(b"")


def test_a_graph_answers_what_refers_to_what(graph: Path) -> None:
    closure = Closure.resolve([HELLO], open_stores([str(graph)]).query)
    assert len(closure) == 4


def test_a_graph_may_come_through_a_pipe(graph: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(graph.read_bytes(),))
    writer.start()
    try:
        assert names(open_stores([str(pipe)]), HELLO) == {"hello-2.12.1"}
    finally:
        writer.join()


def test_the_contents_of_a_graphs_paths_come_from_the_store_behind_it(store: FakeStore, graph: Path) -> None:
    opened = open_stores([str(graph), str(store.root)])
    (program,) = (node for node in opened.nodes(HELLO) if isinstance(node, Regular))
    assert program.executable


def test_a_folder_behind_a_graph_needs_no_database(store: FakeStore, graph: Path) -> None:
    store.database.unlink()
    opened = open_stores([str(graph), str(store.root)])
    assert names(opened, HELLO) == {"hello-2.12.1"}
    assert next(iter(opened.nodes(HELLO))) == Directory(b"")


def test_a_folder_before_a_graph_needs_its_database(store: FakeStore, graph: Path) -> None:
    store.database.unlink()
    with pytest.raises(Unavailable, match=r"got no nix/var/nix/db/db.sqlite in it, expected a Nix database") as caught:
        open_stores([str(store.root), str(graph)])
    assert "--store graph.json --store FOLDER" in caught.value.hint


def test_contents_that_nobody_has_are_an_error(graph: Path) -> None:
    with pytest.raises(NotFound, match=rf"{HELLO}"):
        open_stores([str(graph)]).nodes(HELLO)


@pytest.mark.parametrize("location", ["://", "ssh-ng://x", "ftp://x/y"])
def test_a_store_of_another_kind_is_a_usage_error(location: str) -> None:
    with pytest.raises(InvalidArgument, match=r"cache .*: got .*, expected .*https://HOST or s3://BUCKET"):
        open_stores([location])


@pytest.mark.parametrize("location", ["missing", "file/below", "n" * 300, "nul\0"])
def test_a_store_that_is_not_there_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, location: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    with pytest.raises(Unavailable, match=r": got .*, expected"):
        open_stores([location])


def test_an_empty_folder_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="got no nix/store in it, expected a folder that holds one"):
        open_stores([str(tmp_path)])


def test_a_machine_without_a_store_is_an_error_with_a_hint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "MACHINE", tmp_path)
    with pytest.raises(Unavailable, match="got none on this machine") as caught:
        open_stores([])
    assert "--store" in caught.value.hint


def test_the_machines_own_store_is_what_is_meant_where_none_is_named(
    store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "MACHINE", store.root)
    assert names(open_stores([]), HELLO) == {"hello-2.12.1"}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: to make what an ordinary user may not see")
def test_a_place_that_may_not_be_looked_at_is_an_error() -> None:
    with public_folder() as folder:
        hidden = folder / "hidden"
        example(hidden / "root")
        hidden.chmod(0o700)
        with pytest.raises(Unavailable, match="got Permission denied, expected"):
            as_nobody(lambda: open_stores([str(hidden / "root")]) and None)
        hidden.chmod(0o755)
        (hidden / "root/nix/var").chmod(0o700)
        with pytest.raises(Unavailable, match="got Permission denied, expected"):
            as_nobody(lambda: open_stores([str(hidden / "root")]) and None)


# Caches, the embedded store and catalogues

DEAD = "http://127.0.0.1:1"


def trusting() -> Trust:
    return Trust((PublicKey.parse(KEY),))


def access(folder: Path | None, **more: object) -> StoreAccess:
    return StoreAccess(**{"embedded_store": folder, "trust": trusting} | more)  # type: ignore[arg-type]


def closure(store: Store) -> list[str]:
    return [info.path.name for info in Closure.resolve([hello()], store.query)]


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """An embedded store with the closure of the example."""
    store = open_stores([CACHE], access(tmp_path / "store"))
    found = Closure.resolve([hello()], store.query)
    assert isinstance(store, CanPrefetch)
    assert isinstance(store, HasLocation)
    store.prefetch(info.path for info in found)
    for info in found:
        store.location(info.path)
    return tmp_path / "store"


def test_what_a_cache_gave_is_kept_in_the_embedded_store(filled: Path) -> None:
    kept = EmbeddedStore(filled)
    assert len(closure(kept)) == 6
    location = kept.location(hello())
    assert Path(location.file.decode()).parent == filled / "nar"


def test_without_a_folder_for_it_what_comes_is_kept_as_long_as_it_is_used(tmp_path: Path) -> None:
    store = open_stores([CACHE], access(None))
    assert len(closure(store)) == 6
    assert isinstance(store, HasLocation)
    location = store.location(hello())
    assert isinstance(location, Extent)
    file = Path(location.file.decode())
    assert file.exists()
    assert tmp_path not in file.parents


def test_what_is_kept_is_not_asked_for_again(filled: Path) -> None:
    store = open_stores([DEAD], access(filled))
    assert len(closure(store)) == 6
    assert store.nodes(hello())


def test_offline_asks_nobody_over_the_network_but_a_cache_on_disk(filled: Path, tmp_path: Path) -> None:
    assert len(closure(open_stores([DEAD], access(filled, offline=True)))) == 6
    with pytest.raises(NotFound, match=hello().base):
        closure(open_stores([DEAD], access(tmp_path / "other", offline=True)))
    assert len(closure(open_stores([CACHE], access(tmp_path / "other", offline=True)))) == 6


def test_what_is_kept_is_believed_no_more_than_the_cache(tmp_path: Path) -> None:
    taken = StoreAccess(embedded_store=tmp_path / "store", trust=lambda: Trust((), allow_unsigned=True))
    store = open_stores([CACHE], taken)
    assert len(closure(store)) == 6
    with pytest.raises(IntegrityError, match=r"got no signature but of .*, expected one of cache\.nixos\.org-1"):
        closure(open_stores([CACHE], StoreAccess(embedded_store=tmp_path / "store")))


def test_a_folder_that_is_a_cache_vouches_for_itself_and_keeps_what_others_send(filled: Path, tmp_path: Path) -> None:
    store = open_stores([str(filled)], StoreAccess(embedded_store=tmp_path / "unused"))
    assert len(closure(store)) == 6
    other = EmbeddedStore.open_or_create(tmp_path / "other")
    both = open_stores([str(other.folder), CACHE], access(tmp_path / "unused"))
    assert len(closure(both)) == 6
    assert both.nodes(hello())
    assert list((tmp_path / "other" / "nar").iterdir())
    assert not (tmp_path / "unused").exists()


def test_the_machines_own_store_is_asked_before_the_embedded_one(
    filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = FakeStore(tmp_path / "machine")
    own = machine.add("hello-9", {"bin": {}})
    monkeypatch.setattr(opening, "MACHINE", machine.root)
    store = open_stores([], access(filled))
    assert isinstance(store, PathIndex)
    assert store.find("hello") == (own,)
    assert store.find("greeting")
    assert isinstance(open_stores([], access(tmp_path / "none")), LocalStore)


def test_without_nix_the_embedded_store_is_all_there_is(
    filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "MACHINE", tmp_path / "nothing")
    assert len(closure(open_stores([], access(filled)))) == 6
    with pytest.raises(Unavailable, match="got none on this machine, expected a Nix store at / or an embedded one"):
        open_stores([], access(tmp_path / "none"))


def test_a_channel_names_paths_before_any_store_does(filled: Path, tmp_path: Path) -> None:
    names = tmp_path / "store-paths"
    names.write_text(f"{store_path('hello-7')}\n{hello()}\n{store_path('other-1')}\n")
    store = open_stores([str(filled)], access(None, channel=str(names)))
    assert isinstance(store, PathIndex)
    assert store.find("hello-1.0") == (hello(),)
    assert len(store.find("hello")) == 2
    # It names them, and vouches for none.
    assert store_path("other-1").hash not in store.hashes()
    assert store.query([store_path("other-1")]) == {}


def test_a_catalogue_file_names_paths_too(filled: Path, tmp_path: Path) -> None:
    names = tmp_path / "catalogue.json"
    names.write_text(json.dumps({"greeter": str(hello())}))
    store = open_stores([str(filled)], access(None, channel=f"file://{names}"))
    assert isinstance(store, PathIndex)
    assert store.find("greeter") == (hello(),)


def test_a_channel_without_a_store_means_the_cache_of_nixos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "MACHINE", tmp_path / "nothing")
    monkeypatch.setattr(opening, "DEFAULT_CACHE", CACHE)
    names = tmp_path / "store-paths"
    names.write_text(f"{hello()}\n")
    store = open_stores([], access(tmp_path / "store", channel=str(names)))
    assert isinstance(store, PathIndex)
    assert store.find("hello") == (hello(),)
    assert len(closure(store)) == 6


def test_what_is_no_cache_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="got no nix-cache-info there, expected a binary cache"):
        closure(open_stores([f"file://{tmp_path}"], access(tmp_path / "store")))
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1/nix-cache-info: got Connection refused"):
        closure(open_stores([DEAD], access(tmp_path / "store2")))
    with pytest.raises(InvalidArgument, match="ssh-ng://x"):
        open_stores(["ssh-ng://x"], access(tmp_path / "store"))


def test_a_store_where_nothing_can_be_kept_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="file/store: got something else"):
        open_stores([CACHE], access(tmp_path / "file" / "store"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    with pytest.raises(Unavailable, match="got something else, expected an empty folder or a store of lamina's"):
        open_stores([CACHE], access(tmp_path / "full"))


def test_a_cache_folder_of_compressed_nars_says_how_to_name_it(tmp_path: Path) -> None:
    store = open_stores([str(EXAMPLES / "cache")], access(tmp_path / "store"))
    assert len(closure(store)) == 6
    with pytest.raises(Unavailable, match="got a NAR in xz, expected it uncompressed") as caught:
        store.nodes(hello())
    assert "--store file://" in caught.value.hint
