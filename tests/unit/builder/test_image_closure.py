"""The store paths that an image refers to: in its config, in links, and in extended attributes."""

from pathlib import Path

import pytest
from tests.support.fake_nix_store import FakeStore, Program, example, store_path
from tests.support.image_specs import HELLO, NOW, parse, paths_of

from lamina.builder.prepare import plan, prepare
from lamina.rootfs.entries import Dir, SymlinkEntry, Xattr
from lamina.stores.local.database import LocalStore


@pytest.fixture
def disk(tmp_path: Path) -> FakeStore:
    return example(tmp_path / "root")[0]


def test_a_path_that_only_the_config_names_is_in_the_image(disk: FakeStore) -> None:
    planned = plan(parse(config={"Cmd": [f"{HELLO}/bin/hello"]}), LocalStore(disk.root))
    assert HELLO in paths_of(planned.layers)
    assert planned.warnings == ()


def test_a_path_that_no_store_has_is_a_warning(disk: FakeStore) -> None:
    gone = store_path("gone-1")
    planned = plan(parse(contents=["hello"], config={"Env": [f"A={gone}"]}), LocalStore(disk.root))
    assert planned.warnings == (f"{gone}: mentioned by the config or the root, but not valid in the store; left out",)


def test_a_long_link_to_a_path_that_no_store_has_is_one_warning(disk: FakeStore) -> None:
    gone = store_path("gone-" + "1" * 80)  # a tar header has room for a hundred bytes of a target
    spec = parse(contents=["hello"], tree=[SymlinkEntry("/gone", f"{gone}/bin")])
    assert prepare(spec, LocalStore(disk.root), NOW).warnings == (
        f"{gone}: mentioned by the config or the root, but not valid in the store; left out",
    )


def test_what_an_extended_attribute_names_is_in_the_image(disk: FakeStore) -> None:
    extra = disk.add("extra-1", {"bin": {"extra": Program(b"#!/bin/sh\n")}})
    tree = [Dir("/data"), Xattr("/data", "user.from", str(extra).encode())]
    prepared = prepare(parse(contents=["hello"], tree=tree), LocalStore(disk.root), NOW)
    assert extra in paths_of(prepared.draft.plans)
