"""From what stands after --store to a store, and several of them as one."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest
from tests.support.fake_nix_store import (
    FakeStore,
    Link,
    Program,
    as_nobody,
    example,
    public_folder,
    put,
    store_path,
    write_graph,
)

from lamina.closure import Closure
from lamina.errors import FormatError, InvalidName, NotFound, Unavailable
from lamina.image import Catalogue, Store
from lamina.names import StorePath
from lamina.nodes import Directory, Regular
from lamina.stores import opening
from lamina.stores.first_of import FirstOf
from lamina.stores.folder import Folder
from lamina.stores.graph import GraphStore
from lamina.stores.local import LocalStore
from lamina.stores.opening import open_stores


@pytest.fixture
def store(tmp_path: Path) -> FakeStore:
    return example(tmp_path / "root")[0]


@pytest.fixture
def graph(store: FakeStore, tmp_path: Path) -> Path:
    return write_graph(store, tmp_path / "graph.json")


HELLO = store_path("hello-2.12.1")
SHELL = store_path("sh-5")


def names(store: Store, *paths: StorePath) -> set[str]:
    return {path.name for path in store.query(paths)}


# What stands after --store


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


@pytest.mark.parametrize("place", ["://", "ssh-ng://x", "ftp://x/y"])
def test_a_store_of_another_kind_is_a_usage_error(place: str) -> None:
    with pytest.raises(InvalidName, match=r"cache .*: got .*, expected .*https://HOST or s3://BUCKET"):
        open_stores([place])


@pytest.mark.parametrize("place", ["missing", "file/below", "n" * 300, "nul\0"])
def test_a_store_that_is_not_there_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    with pytest.raises(Unavailable, match=r": got .*, expected"):
        open_stores([place])


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


# Graphs


@pytest.mark.parametrize(
    "text",
    ["", "{", "null", "[1]", '{"a": 1}', '"x"', "[" * 100_000, "\0", '[{"path": "/etc"}]', "[NaN]"],
)
def test_a_broken_graph_names_its_file(tmp_path: Path, text: str) -> None:
    file = tmp_path / "graph.json"
    file.write_text(text)
    with pytest.raises(FormatError, match=rf"^{file}: closure graph: ") as caught:
        open_stores([str(file)])
    assert "\n" not in str(caught.value)


def test_a_graph_of_other_bytes_is_a_format_error(tmp_path: Path) -> None:
    file = tmp_path / "graph.json"
    file.write_bytes(b"\x1f\x8b\x08\x00\xff\xfe")
    with pytest.raises(FormatError, match=rf"^{file}: closure graph: "):
        open_stores([str(file)])


def test_a_path_that_refers_outside_the_graph_is_not_found(graph: Path) -> None:
    infos = [item for item in json.loads(graph.read_text()) if "sh-5" not in item["path"]]
    graph.write_text(json.dumps(infos))
    with pytest.raises(NotFound, match=rf"{SHELL}: got no such valid path in the store, expected it as a reference of"):
        Closure.resolve([HELLO], open_stores([str(graph)]).query)


def test_a_graph_knows_names_and_hashes(graph: Path) -> None:
    known = GraphStore(graph)
    assert known.find("hello") == known.find("hello-2.12.1") == (HELLO,)
    assert known.find("hell") == ()
    assert known.with_hashes({HELLO.hash, "0" * 32}) == (HELLO,)


def test_a_derivation_in_a_graph_is_not_what_its_name_means(graph: Path) -> None:
    infos = json.loads(graph.read_text())
    derivation = store_path("hello-2.12.1.drv")
    graph.write_text(json.dumps([*infos, {**infos[0], "path": str(derivation), "references": []}]))
    assert GraphStore(graph).find("hello") == (HELLO,)


def test_a_graph_has_no_contents(graph: Path) -> None:
    with pytest.raises(
        NotFound, match=rf"{HELLO}: got a closure graph, {graph}, expected a store that has the contents"
    ):
        GraphStore(graph).nodes(HELLO)


# Folders


def test_a_folder_knows_nothing_and_has_everything(store: FakeStore) -> None:
    folder = Folder(store.root)
    assert folder.query([HELLO]) == {}
    assert not isinstance(folder, Catalogue)
    assert [node.path for node in folder.nodes(HELLO)] == [b"", b"bin", b"bin/hello", b"share"]


def test_a_path_that_is_not_in_the_folder_is_not_found(store: FakeStore) -> None:
    with pytest.raises(NotFound, match="got nothing there, expected a store path"):
        Folder(store.root).nodes(store_path("other"))


# Several as one


@pytest.fixture
def other(tmp_path: Path) -> FakeStore:
    """A store where one of the paths has other contents, and one is new."""
    other = FakeStore(tmp_path / "other")
    other.add("sh-5", {"bin": {"sh": Program(b"another shell"), "more": Link("sh")}})
    other.add("extra-1", b"extra")
    return other


def test_the_first_store_that_has_a_path_answers_for_it(store: FakeStore, other: FakeStore) -> None:
    both = FirstOf([LocalStore(store.root), LocalStore(other.root)])
    reverse = FirstOf([LocalStore(other.root), LocalStore(store.root)])
    assert both.query([SHELL])[SHELL] == LocalStore(store.root).query([SHELL])[SHELL]
    assert reverse.query([SHELL])[SHELL] == LocalStore(other.root).query([SHELL])[SHELL]
    assert names(both, HELLO, SHELL, store_path("extra-1")) == {"hello-2.12.1", "sh-5", "extra-1"}


def test_contents_come_from_the_store_that_vouched_for_the_path(store: FakeStore, other: FakeStore) -> None:
    extra = store_path("extra-1")
    put(store.place(extra), b"not valid here")
    both = FirstOf([LocalStore(store.root), LocalStore(other.root)])
    assert both.query([extra])
    (node,) = both.nodes(extra)
    assert isinstance(node, Regular)
    assert node.size == len(b"extra")


def test_the_first_store_that_has_the_name_decides_what_it_means(store: FakeStore, other: FakeStore) -> None:
    newer = other.add("hello-3", b"")
    assert FirstOf([LocalStore(store.root), LocalStore(other.root)]).find("hello") == (HELLO,)
    assert FirstOf([LocalStore(other.root), LocalStore(store.root)]).find("hello") == (newer,)
    assert FirstOf([LocalStore(other.root), LocalStore(store.root)]).find("words") == (store_path("words-2.1-data"),)
    assert FirstOf([]).find("hello") == ()


def test_hashes_are_looked_up_in_every_store(store: FakeStore, other: FakeStore, graph: Path) -> None:
    every = FirstOf([GraphStore(graph), LocalStore(store.root), Folder(store.root), LocalStore(other.root)])
    wanted = {HELLO.hash, SHELL.hash, store_path("extra-1").hash}
    assert sorted(every.with_hashes(wanted)) == sorted([HELLO, SHELL, store_path("extra-1")])


def test_no_store_has_the_contents_of_a_path_that_none_knows(store: FakeStore) -> None:
    with pytest.raises(NotFound, match=rf"^{store.root}/nix/store/.*-other: got nothing there, expected a store path"):
        FirstOf([LocalStore(store.root)]).nodes(store_path("other"))
    with pytest.raises(NotFound, match="got no store, expected one to have its contents"):
        FirstOf([]).nodes(store_path("other"))
