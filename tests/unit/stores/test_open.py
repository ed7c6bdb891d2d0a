"""Opening stores by their names: the kind of each, the order of queries, and where fetched paths are kept."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack
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
from lamina.stores.open import StoreAccess, open_stores
from lamina.stores.store import Store
from lamina.transports.retry import RetryPolicy, use_policy

# --- what --store may name


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


def test_a_graph_provides_references(graph: Path) -> None:
    closure_names = Closure.resolve([HELLO], open_stores([str(graph)]).query)
    assert len(closure_names) == 4


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


def test_contents_that_no_store_has_are_an_error(graph: Path) -> None:
    with pytest.raises(NotFound, match=rf"{HELLO}"):
        open_stores([str(graph)]).nodes(HELLO)


@pytest.mark.parametrize("location", ["://", "ssh-ng://x", "ftp://x/y"])
def test_a_store_of_another_kind_is_a_usage_error(location: str) -> None:
    with pytest.raises(
        InvalidArgument, match=r"(cache|store) .*: got .*, expected .*(s3://BUCKET|URL of a binary cache)"
    ):
        open_stores([location])


@pytest.mark.parametrize("location", ["missing", "file/below", "n" * 300, "nul\0"])
def test_a_missing_store_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, location: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    with pytest.raises(Unavailable, match=r": got .*, expected"):
        open_stores([location])


def test_an_empty_folder_is_not_a_store(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="got no nix/store in it, expected a folder that holds one"):
        open_stores([str(tmp_path)])


def test_a_machine_without_a_store_is_an_error_with_a_hint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "MACHINE", tmp_path)
    with pytest.raises(Unavailable, match="got none on this machine") as caught:
        open_stores([])
    assert "--store" in caught.value.hint


def test_the_machines_own_store_is_the_default(store: FakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "MACHINE", store.root)
    assert names(open_stores([]), HELLO) == {"hello-2.12.1"}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: to make what an ordinary user may not see")
def test_a_location_without_permission_is_an_error() -> None:
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


# --- caches, the embedded store and catalogues

UNREACHABLE = "http://127.0.0.1:1"


def make_trust() -> Trust:
    return Trust((PublicKey.parse(KEY),))


_opened = ExitStack()


@pytest.fixture(autouse=True)
def _close_stores() -> Iterator[None]:
    """Close what `make_access` opened, when the test has ended."""
    yield
    _opened.close()


def make_access(folder: Path | None, **more: object) -> StoreAccess:
    values = {"embedded_store": folder, "trust": make_trust, "resources": _opened}
    return StoreAccess(**values | more)  # type: ignore[arg-type]


def closure_names(store: Store) -> list[str]:
    return [info.path.name for info in Closure.resolve([hello()], store.query)]


@pytest.fixture
def filled_store(tmp_path: Path) -> Path:
    """An embedded store with the closure of the example."""
    store = open_stores([CACHE], make_access(tmp_path / "store"))
    found = Closure.resolve([hello()], store.query)
    store.prefetch(info.path for info in found)
    for info in found:
        store.location(info.path)
    return tmp_path / "store"


def test_fetched_paths_are_kept_in_the_embedded_store(filled_store: Path) -> None:
    kept = EmbeddedStore(filled_store)
    assert len(closure_names(kept)) == 6
    location = kept.location(hello())
    assert Path(location.file.decode()).parent == filled_store / "nar"


def test_without_a_folder_fetched_paths_are_kept_as_long_as_the_store(tmp_path: Path) -> None:
    store = open_stores([CACHE], make_access(None))
    assert len(closure_names(store)) == 6
    location = store.location(hello())
    assert isinstance(location, Extent)
    file = Path(location.file.decode())
    assert file.exists()
    assert tmp_path not in file.parents


def test_kept_paths_are_not_requested_again(filled_store: Path) -> None:
    store = open_stores([UNREACHABLE], make_access(filled_store))
    assert len(closure_names(store)) == 6
    assert store.nodes(hello())


def test_offline_only_a_cache_on_disk_is_asked(filled_store: Path, tmp_path: Path) -> None:
    assert len(closure_names(open_stores([UNREACHABLE], make_access(filled_store, offline=True)))) == 6
    with pytest.raises(NotFound, match=hello().base):
        closure_names(open_stores([UNREACHABLE], make_access(tmp_path / "other", offline=True)))
    assert len(closure_names(open_stores([CACHE], make_access(tmp_path / "other", offline=True)))) == 6


def test_kept_paths_are_trusted_no_more_than_the_cache(tmp_path: Path) -> None:
    taken = make_access(tmp_path / "store", trust=lambda: Trust((), allow_unsigned=True))
    store = open_stores([CACHE], taken)
    assert len(closure_names(store)) == 6
    with pytest.raises(IntegrityError, match=r"got only signatures of .*, expected a signature of cache\.nixos\.org-1"):
        closure_names(open_stores([CACHE], make_access(tmp_path / "store", trust=None)))


def test_a_cache_folder_is_trusted_and_keeps_paths_fetched_from_others(filled_store: Path, tmp_path: Path) -> None:
    store = open_stores([str(filled_store)], make_access(tmp_path / "unused", trust=None))
    assert len(closure_names(store)) == 6
    other = EmbeddedStore.open_or_create(tmp_path / "other")
    both = open_stores([str(other.folder), CACHE], make_access(tmp_path / "unused"))
    assert len(closure_names(both)) == 6
    assert both.nodes(hello())
    assert list((tmp_path / "other" / "nar").iterdir())
    assert not (tmp_path / "unused").exists()


def test_the_machines_own_store_is_asked_before_the_embedded_one(
    filled_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = FakeStore(tmp_path / "machine")
    own = machine.add("hello-9", {"bin": {}})
    monkeypatch.setattr(opening, "MACHINE", machine.root)
    store = open_stores([], make_access(filled_store))
    assert store.find("hello") == (own,)
    assert store.find("greeting")
    assert not open_stores([], make_access(tmp_path / "none")).find("greeting")


def test_without_nix_only_the_embedded_store_is_asked(
    filled_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "MACHINE", tmp_path / "nothing")
    assert len(closure_names(open_stores([], make_access(filled_store)))) == 6
    with pytest.raises(Unavailable, match="got none on this machine, expected a Nix store at / or an embedded one"):
        open_stores([], make_access(tmp_path / "none"))


def test_names_are_looked_up_in_the_channel_first(filled_store: Path, tmp_path: Path) -> None:
    names = tmp_path / "store-paths"
    names.write_text(f"{store_path('hello-7')}\n{hello()}\n{store_path('other-1')}\n")
    store = open_stores([str(filled_store)], make_access(None, channel=str(names)))
    assert store.find("hello-1.0") == (hello(),)
    assert len(store.find("hello")) == 2
    # A channel names paths, but does not make them valid.
    assert store_path("other-1").hash not in store.hashes()
    assert store.query([store_path("other-1")]) == {}


def test_a_catalogue_file_names_paths_too(filled_store: Path, tmp_path: Path) -> None:
    names = tmp_path / "catalogue.json"
    names.write_text(json.dumps({"greeter": str(hello())}))
    store = open_stores([str(filled_store)], make_access(None, channel=f"file://{names}"))
    assert store.find("greeter") == (hello(),)


def test_a_channel_without_a_store_means_the_cache_of_nixos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "MACHINE", tmp_path / "nothing")
    monkeypatch.setattr(opening, "DEFAULT_CACHE", CACHE)
    names = tmp_path / "store-paths"
    names.write_text(f"{hello()}\n")
    store = open_stores([], make_access(tmp_path / "store", channel=str(names)))
    assert store.find("hello") == (hello(),)
    assert len(closure_names(store)) == 6


def test_a_url_without_a_cache_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="got no nix-cache-info there, expected a binary cache"):
        closure_names(open_stores([f"file://{tmp_path}"], make_access(tmp_path / "store")))
    once = use_policy(RetryPolicy(attempts=1))
    with once, pytest.raises(Unavailable, match=r"127\.0\.0\.1:1/nix-cache-info: got Connection refused"):
        closure_names(open_stores([UNREACHABLE], make_access(tmp_path / "store2")))
    with pytest.raises(InvalidArgument, match="ssh-ng://x"):
        open_stores(["ssh-ng://x"], make_access(tmp_path / "store"))


def test_an_embedded_store_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="file/store: got something else"):
        open_stores([CACHE], make_access(tmp_path / "file" / "store"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    with pytest.raises(Unavailable, match="got something else, expected an empty folder or an embedded store"):
        open_stores([CACHE], make_access(tmp_path / "full"))


def test_a_cache_folder_of_compressed_nars_says_how_to_name_it(tmp_path: Path) -> None:
    store = open_stores([str(EXAMPLES / "cache")], make_access(tmp_path / "store"))
    assert len(closure_names(store)) == 6
    with pytest.raises(Unavailable, match="got a NAR compressed with xz, expected an uncompressed NAR") as caught:
        store.nodes(hello())
    assert "--store file://" in caught.value.hint
