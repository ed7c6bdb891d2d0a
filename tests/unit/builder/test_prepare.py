"""From a checked spec to a draft, and to a plan."""

from pathlib import Path
from typing import Any

import pytest
from tests.support.fake_nix_store import FakeStore, Program, example
from tests.support.image_specs import HELLO, NOW, parse, paths_of

from lamina.builder.prepare import list_script_folders, plan, prepare
from lamina.core.closure import Closure
from lamina.errors import InvalidArgument, NotFound
from lamina.inputs.spec import Spec
from lamina.stores import open as opening
from lamina.stores.local.database import LocalStore


@pytest.fixture
def disk(tmp_path: Path) -> FakeStore:
    return example(tmp_path / "root")[0]


def test_a_draft_and_a_plan_have_the_same_layers(disk: FakeStore) -> None:
    spec, store = parse(contents=["hello"], max_layers=3), LocalStore(disk.root)
    prepared = prepare(spec, store, NOW)
    assert prepared.draft.plans == plan(spec, store).layers
    assert paths_of(prepared.draft.plans) == {info.path for info in Closure.resolve([HELLO], store.query)}
    assert (prepared.draft.settings.repository, prepared.draft.settings.config.architecture) == ("x", "amd64")


def test_the_name_is_that_of_the_first_root(disk: FakeStore) -> None:
    prepared = prepare(Spec.parse({"contents": ["hello"], "architecture": "amd64"}), LocalStore(disk.root), NOW)
    assert prepared.draft.settings.repository == "hello"
    with pytest.raises(InvalidArgument, match="name: got none, expected one"):
        prepare(Spec.parse({"config": {"Cmd": [str(HELLO)]}}), LocalStore(disk.root), NOW)


def test_now_is_the_time_where_none_is_given(disk: FakeStore) -> None:
    settings = prepare(parse(contents=["hello"], created="now", mtime="now"), LocalStore(disk.root), NOW).draft.settings
    assert (settings.config.created, settings.mtime) == (NOW, NOW)


def test_a_path_that_a_script_writes_down_is_in_the_image(disk: FakeStore) -> None:
    extra = disk.add("extra-1", {"bin": {"extra": Program(b"#!/bin/sh\n")}})
    spec = parse(contents=["hello"], extra_commands=f"echo {extra} > note", sandbox=False)
    assert extra in paths_of(prepare(spec, LocalStore(disk.root), NOW).draft.plans)


def test_keys_to_inherit_without_a_base_image_are_refused(disk: FakeStore) -> None:
    spec, store = parse(contents=["hello"], inherit="Cmd,User"), LocalStore(disk.root)
    for work in (lambda: plan(spec, store), lambda: prepare(spec, store, NOW)):
        with pytest.raises(InvalidArgument, match=r"^inherit: got Cmd, User and no base image, expected a base image"):
            work()


def test_an_image_of_nothing_is_refused(disk: FakeStore) -> None:
    for work in (lambda: plan(parse(), LocalStore(disk.root)), lambda: prepare(parse(), LocalStore(disk.root), NOW)):
        with pytest.raises(InvalidArgument, match=r"^image: got nothing to put into it, expected a ROOT: "):
            work()
    with pytest.raises(NotFound):
        plan(parse(contents=["nothing"]), LocalStore(disk.root))


def test_another_architecture_than_that_of_the_programs_is_a_warning(disk: FakeStore) -> None:
    elf = b"\x7fELF\2\1\1" + bytes(9) + b"\2\0" + (62).to_bytes(2, "little") + bytes(100)
    path = disk.add("program-1", {"bin": {"program": Program(elf)}})
    prepared = prepare(parse(contents=[str(path)], architecture="riscv64"), LocalStore(disk.root), NOW)
    assert prepared.warnings == ("architecture: got riscv64, expected amd64, that of the first program",)


def test_a_script_reads_the_folders_of_its_stores(disk: FakeStore, tmp_path: Path, monkeypatch: Any) -> None:
    assert list_script_folders(parse(store=[disk.root])) == (disk.root,)
    monkeypatch.setattr(opening, "MACHINE", disk.root)
    assert list_script_folders(parse()) == (disk.root,)
    with pytest.raises(InvalidArgument, match="script: got a store object, expected folders on this machine"):
        list_script_folders(parse(store=LocalStore(disk.root)))
    with pytest.raises(InvalidArgument, match="script: got a binary cache and no embedded store"):
        list_script_folders(parse(store="https://cache.example"))
