"""The root of an image: the links of its contents, its scripts and its declared entries, in this order."""

from pathlib import Path
from typing import Any

import pytest
from tests.support.fake_nix_store import FakeStore, example, store_path

import lamina
from lamina.builder.open_base import open_base
from lamina.builder.root import CustomisedRoot, customise
from lamina.core.closure import Closure
from lamina.core.names import StoreSubpath
from lamina.core.nodes import Symlink
from lamina.errors import InvalidArgument
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


def test_a_declared_file_without_an_added_user_is_refused(disk: FakeStore, tmp_path: Path) -> None:
    own = tmp_path / "passwd"
    own.write_text("root:x:0:0::/:/bin/sh\n")
    arguments = {"add_user": "me:1000", "tree": [{"file": f"/etc/passwd={own}"}]}
    with pytest.raises(
        InvalidArgument, match=r"^user me: got another /etc/passwd among the files of the image, "
    ) as caught:
        make(disk, **arguments)
    line = "me:x:1000:1000::/var/empty:/bin/sh"
    assert caught.value.hint == f"add {line} to it, or leave out --add-user me"
    own.write_text(f"{line}\n")
    assert make(disk, **arguments).warnings == ()


@pytest.mark.parametrize("path", ["/etc/passwd", "/etc/group"])
def test_a_declared_link_in_the_place_of_an_account_file_is_refused(path: str, disk: FakeStore) -> None:
    with pytest.raises(InvalidArgument, match=f"^user me: got another {path} among"):
        make(disk, add_user="me:1000", tree=[{"symlink": f"{path}=/data"}])


def test_a_script_that_removes_an_added_user_causes_a_warning(disk: FakeStore) -> None:
    root = make(disk, add_user="me:1000", extra_commands="sed -i /^me:/d etc/passwd; rm etc/group")
    assert root.warnings == tuple(
        f"user me: got {file} without it after the scripts" for file in ("/etc/passwd", "/etc/group")
    )
    assert root.workspace
    root.workspace.close()


def test_a_declared_folder_that_takes_a_home_from_its_user_causes_a_warning(disk: FakeStore) -> None:
    user = "me:1000:100:/home/me"
    warning = "user me: got the owner 0:0 for /home/me, expected 1000:100, that of its user"
    assert make(disk, add_user=user, tree=[{"dir": "/home/me:700"}]).warnings == (warning,)
    assert make(disk, add_user=user, tree=[{"dir": "/home/me:700:1000:100"}, {"dir": "/srv"}]).warnings == ()


@pytest.mark.parametrize(
    ("user", "more", "unknown"),
    [
        ("web", {}, ["the user 'web', which /etc/passwd lacks"]),
        ("web", {"extras": ["nss"]}, ["the user 'web', which /etc/passwd lacks"]),
        ("web:staff", {"add_user": ["web:1000"]}, ["the group 'staff', which /etc/group lacks"]),
        ("a:b", {}, ["the user 'a', which /etc/passwd lacks", "the group 'b', which /etc/group lacks"]),
        ("web", {"add_user": ["web:1000"]}, []),
        ("web:web", {"add_user": ["web:1000"]}, []),
        ("nobody", {"extras": ["nss"]}, []),
        ("me", {"extra_commands": "mkdir etc && echo me:x:1:1::/:/bin/sh > etc/passwd"}, []),
        ("1000:100", {}, []),
        ("", {}, []),
    ],
)
def test_a_user_of_the_config_that_the_image_lacks_is_a_warning(
    disk: FakeStore, user: str, more: dict[str, Any], unknown: list[str]
) -> None:
    root = make(disk, config={"User": user}, **more)
    assert [text.split(", expected")[0] for text in root.warnings] == [f"config.User: got {text}" for text in unknown]
    if root.workspace:
        root.workspace.close()
