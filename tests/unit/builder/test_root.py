"""The root of an image: the links of its contents, its scripts and its declared entries, in this order."""

from pathlib import Path
from typing import Any

import pytest
from tests.support.fake_nix_store import FakeStore, example, store_path

import lamina
from lamina.builder.prepare import open_base
from lamina.builder.root import CustomisedRoot, customise
from lamina.core.closure import Closure
from lamina.core.names import StoreSubpath
from lamina.core.nodes import Symlink
from lamina.inputs.spec import Spec
from lamina.rootfs.tree import Meta
from lamina.stores.local.database import LocalStore

HELLO = store_path("hello-2.12.1")


@pytest.fixture
def disk(tmp_path: Path) -> FakeStore:
    return example(tmp_path / "root")[0]


def make(disk: FakeStore, **arguments: Any) -> CustomisedRoot:
    store = LocalStore(disk.root)
    spec = Spec.parse({"name": "x", "architecture": "amd64", "sandbox": False, "contents": ["hello"], **arguments})
    return customise(spec, [StoreSubpath(HELLO, "")], Closure.resolve([HELLO], store.query), store, open_base(spec))


def test_contents_are_linked_at_the_root(disk: FakeStore) -> None:
    root = make(disk)
    assert root.content_links
    assert all(isinstance(node, Symlink) for node in root.content_links)
    assert {node.path for node in root.content_links} <= {node.path for node, _ in root.tree}
    assert (root.workspace, root.script_output) == (None, "")


def test_a_script_sees_the_links_and_declared_entries_come_last(disk: FakeStore) -> None:
    root = make(
        disk,
        extra_commands="ls bin/hello && mkdir etc && echo one > etc/one && chmod 600 etc/one",
        tree=[lamina.Dir("/tmp", 0o1777), lamina.Perm("/etc/one", 0o640, 1, 2)],
    )
    assert root.script_output == "bin/hello\n"
    assert root.workspace
    changed = root.tree.meta(b"etc/one")
    assert changed
    assert (changed.mode, changed.uid, changed.gid) == (0o640, 1, 2)
    assert b"tmp" in root.tree
    root.workspace.close()


def test_ready_made_contents_are_in_the_root(disk: FakeStore) -> None:
    assert b"etc/passwd" in make(disk, extras=["nss"]).tree


def test_a_user_is_there_before_scripts_and_has_its_home_after_them(disk: FakeStore) -> None:
    root = make(
        disk,
        extras=["nss"],
        add_user="app:1000:100:/home/app",
        extra_commands="grep -q ^app: etc/passwd && touch home/app/file",
    )
    assert root.workspace
    home, file = root.tree.meta(b"home/app"), root.tree.meta(b"home/app/file")
    assert home == Meta(0o755, 1000, 100)
    assert file == Meta(0o644)
    root.workspace.close()
