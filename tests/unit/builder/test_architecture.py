"""The architecture of an image is that of its first program."""

import platform
from collections.abc import Sequence

import pytest
from tests.support.factories import File, Item, MemoryStore, infos, path

from lamina.builder.architecture import choose_architecture, choose_paths, detect_architecture
from lamina.core.names import StorePath
from lamina.core.nodes import Node
from lamina.errors import InvalidArgument, NotFound
from lamina.stores.store import Store, adapt_store


def program(machine: int) -> File:
    """Return an ELF file of the machine number (ELF specification, e_machine)."""
    return File(b"\x7fELF\2\1\1" + bytes(9) + b"\2\0" + machine.to_bytes(2, "little") + bytes(100), executable=True)


def store(*trees: Item) -> Store:
    return adapt_store(MemoryStore(infos("A  B"), dict(zip((path("A"), path("B")), trees, strict=False))))


ARM, AMD = program(183), program(62)


def test_the_first_program_in_the_order_of_the_paths_counts() -> None:
    both = store({b"bin": {b"a": File(b"#!/bin/sh", executable=True), b"b": ARM}}, AMD)
    assert detect_architecture([path("A"), path("B")], both) == "arm64"
    assert detect_architecture([path("B"), path("A")], both) == "amd64"
    assert choose_architecture([path("A")], both, "s390x") == "arm64"


def test_a_library_that_is_not_executable_is_no_program() -> None:
    assert detect_architecture([path("A")], store({b"lib.so": File(ARM.content)})) is None


def test_without_a_program_the_default_and_then_the_machine_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    empty = store({})
    assert choose_architecture([path("A")], empty, "riscv64") == "riscv64"
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert choose_architecture([path("A")], empty) == "arm64"
    monkeypatch.setattr(platform, "machine", lambda: "vax")
    with pytest.raises(InvalidArgument, match="architecture: got 'vax', that of this machine") as caught:
        choose_architecture([], empty)
    assert "--architecture" in caught.value.hint


def test_paths_are_chosen_by_their_programs_or_else_by_those_of_their_closures() -> None:
    script = {b"bin": {b"hello": File(b"#!/bin/sh", executable=True)}}
    trees: dict[str, Item] = {"A": script, "B": script, "C": ARM, "D": AMD, "E": script}
    made = MemoryStore(infos("A→C  B→D  E"), {path(name): tree for name, tree in trees.items()})
    paths = [path(name) for name in ("A", "B", "C", "D", "E", "F")]
    assert choose_paths("x", paths, "arm64/v8", made) == (path("A"), path("C"))
    assert choose_paths("x", paths, "amd64", made) == (path("B"), path("D"))
    assert choose_paths("x", paths, "riscv64", made) == ()  # two of the paths have no program
    message = "^'x': got 4 paths of that name with programs for arm64, amd64, expected one for riscv64$"
    with pytest.raises(NotFound, match=message):
        choose_paths("x", paths[:4], "riscv64", made)


def test_of_a_path_without_contents_nothing_is_known() -> None:
    class Graph(MemoryStore):
        def nodes(self, path: StorePath) -> Sequence[Node]:
            raise NotFound(path, "a graph", "a store that has the contents")

    assert choose_paths("x", [path("A")], "arm64", Graph(infos("A"))) == ()
