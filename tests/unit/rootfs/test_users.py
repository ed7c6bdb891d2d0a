"""Users are added to the account files that an image has, or to new ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.support.fake_nix_store import FakeStore, SymlinkTo

from lamina.core.nodes import Directory, Regular, Symlink
from lamina.errors import InvalidArgument
from lamina.rootfs.accounts import GROUP, PASSWD, BaseFile
from lamina.rootfs.tree import Meta, Tree
from lamina.rootfs.users import User, add_users, list_unknown_accounts, restore_home_owners
from lamina.stores.local.database import LocalStore

APP = "app:x:1000:1000::/var/empty:/bin/sh\n"


@pytest.fixture
def store(tmp_path: Path) -> FakeStore:
    return FakeStore(tmp_path / "root")


def add(store: FakeStore, *texts: str, tree: Tree | None = None, base: Mapping[bytes, BaseFile] | None = None) -> Tree:
    tree = tree or Tree()
    files = base or {}
    add_users(map(User.parse, texts), tree, LocalStore(store.root), lambda path, _: files.get(path))
    return tree


def base_files(**contents: str) -> dict[bytes, BaseFile]:
    return {
        f"etc/{name}".encode(): BaseFile(f"etc/{name}".encode(), content.encode(), Meta(0o640, 0, 42))
        for name, content in contents.items()
    }


def read(tree: Tree, path: bytes) -> str:
    node = tree.node(path)
    assert isinstance(node, Regular)
    assert isinstance(node.content, bytes)
    assert len(node.content) == node.size
    return node.content.decode()


@pytest.mark.parametrize(
    ("text", "user"),
    [
        ("app:1000", User("app", 1000)),
        ("app:1000:100", User("app", 1000, 100)),
        ("app:1000:100:/home/app", User("app", 1000, 100, "/home/app")),
        ("app:1000::/home/app", User("app", 1000, None, "/home/app")),
        ("_a-B.9:0:4294967294", User("_a-B.9", 0, 4294967294)),
    ],
)
def test_a_user_is_a_name_and_numbers(text: str, user: User) -> None:
    assert User.parse(text) == user
    assert user.group_id == (user.uid if user.gid is None else user.gid)


@pytest.mark.parametrize(
    "text",
    [
        *("", "app", "app:", "app:x", "app:1000:", "app:1000:100:", "app:-1"),
        *(":1", "-a:1", "a b:1", "a\n:1", "a" * 33 + ":1"),
        *("app:4294967295", "app:1:4294967295"),
        *("app:1:1:home", "app:1:1:/a:b", "app:1:1:/a/../b", "app:1:1:/\n"),
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^user"):
        User.parse(text)


def test_an_image_without_accounts_gets_those_of_nss_and_the_user(store: FakeStore) -> None:
    tree = add(store, "app:1000")
    assert read(tree, b"etc/passwd") == PASSWD.decode() + APP
    assert read(tree, b"etc/group") == GROUP.decode() + "app:x:1000:\n"
    assert tree.node(b"var/empty") == Directory(b"var/empty")
    assert b"etc/shadow" not in tree
    assert add(store).node(b"etc") is None


def test_a_home_folder_belongs_to_its_user(store: FakeStore) -> None:
    tree = add(store, "app:1000:100:/home/app/", "root2:5::/")
    assert tree.meta(b"home/app") == Meta(0o755, 1000, 100)
    assert tree.meta(b"home") == Meta(0o755)
    assert tree.meta(b"") == Meta(0o755)
    assert "app:x:1000:100::/home/app/:/bin/sh\n" in read(tree, b"etc/passwd")


def test_a_group_that_has_the_number_is_the_users_group(store: FakeStore) -> None:
    tree = add(store, "one:1000:0", "two:1001:100", "three:1002:100")
    assert read(tree, b"etc/group") == GROUP.decode() + "two:x:100:\n"


def test_the_accounts_of_a_base_image_stay(store: FakeStore) -> None:
    base = base_files(passwd="root:x:0:0::/root:/bin/bash", group="root:x:0:\n", shadow="root:*:1:\n", gshadow="")
    tree = add(store, "app:1000", base=base)
    assert read(tree, b"etc/passwd") == "root:x:0:0::/root:/bin/bash\n" + APP
    assert read(tree, b"etc/group") == "root:x:0:\napp:x:1000:\n"
    assert read(tree, b"etc/shadow") == "root:*:1:\napp:!:::::::\n"
    assert read(tree, b"etc/gshadow") == "app:!::\n"
    assert tree.meta(b"etc/shadow") == Meta(0o640, 0, 42)


def test_a_link_of_the_base_image_is_followed(store: FakeStore) -> None:
    base = {b"etc/passwd": BaseFile(b"usr/etc/passwd", b"", Meta(0o644))}
    tree = add(store, "app:1000", base=base)
    assert read(tree, b"usr/etc/passwd") == APP
    assert b"etc/passwd" not in tree


def test_the_accounts_of_a_store_path_stay(store: FakeStore) -> None:
    """`contents` with nixpkgs' fakeNss link ``/etc/passwd`` into the store."""
    inner = store.add("inner", {"passwd": b"root:x:0:0::/root:/bin/bash\n"})
    outer = store.add(
        "outer", {"etc": {"passwd": SymlinkTo("../link"), "none": b""}, "link": SymlinkTo(f"{inner}/passwd")}
    )
    tree = Tree()
    tree.put(Symlink(b"etc/passwd", f"{outer}/etc/passwd".encode()), Meta(0o777))
    assert read(add(store, "app:1000", tree=tree), b"etc/passwd") == "root:x:0:0::/root:/bin/bash\n" + APP
    assert tree.meta(b"etc/passwd") == Meta(0o644)


@pytest.mark.parametrize("target", ["elsewhere", "/etc/other", "{outer}/none", "{outer}/loop", "{outer}"])
def test_a_link_that_leads_to_no_file_of_the_store_is_refused(target: str, store: FakeStore) -> None:
    outer = store.add("outer", {"loop": SymlinkTo("loop")})
    tree = Tree()
    tree.put(Symlink(b"etc/passwd", target.format(outer=outer).encode()), Meta(0o777))
    with pytest.raises(InvalidArgument, match=r"^/etc/passwd: got a symlink to "):
        add(store, "app:1000", tree=tree)


def test_a_folder_in_the_place_of_a_file_is_refused(store: FakeStore) -> None:
    tree = Tree()
    tree.put(Directory(b"etc/group"), Meta(0o755))
    with pytest.raises(InvalidArgument, match=r"^/etc/group: got a folder there"):
        add(store, "app:1000", tree=tree)


def test_the_same_user_again_changes_nothing(store: FakeStore) -> None:
    base = base_files(passwd="app:x:1000:100::/srv:/bin/bash\n", group="users:x:100:\n")
    tree = add(store, "app:1000:100", "app:1000:100:/srv", base=base)
    assert b"etc/passwd" not in tree
    assert tree.meta(b"srv") == Meta(0o755, 1000, 100)
    assert read(add(store, "app:1000", "app:1000"), b"etc/passwd") == PASSWD.decode() + APP


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["app:1000", "app:1001"], "user app: got uid 1000, gid 1000 and home /var/empty in /etc/passwd, expected the"),
        (["app:1000", "app:1000:5"], "user app: got uid 1000, gid 1000 and home /var/empty in /etc/passwd, expected"),
        (["app:1000", "app:1000::/srv"], "user app: got uid 1000, gid 1000 and home /var/empty in /etc/passwd, expect"),
        (["app:1000", "web:1000"], "user web: got uid 1000, which app has already, expected a uid of its own"),
        (["me:0"], "user me: got uid 0, which root has already, expected a uid of its own"),
        (["a:1:7", "b:2", "c:3:3"], ""),
        (["nobody:65534"], ""),
    ],
)
def test_a_name_or_number_of_another_user_is_refused(texts: list[str], message: str, store: FakeStore) -> None:
    if not message:
        add(store, *texts)
        return
    with pytest.raises(InvalidArgument) as caught:
        add(store, *texts)
    assert str(caught.value).startswith(message)


def test_a_group_of_the_users_name_with_another_number_is_refused(store: FakeStore) -> None:
    with pytest.raises(InvalidArgument, match="got gid 1000, which no group has, expected 5, that of the group app"):
        add(store, "app:1000", base=base_files(group="app:x:5:\n"))


def test_lines_of_other_forms_stay(store: FakeStore) -> None:
    """NIS has lines that begin with a plus; old files have comments and empty lines."""
    passwd = "# users\n\n+::::::\nshort:x\nb\udce9:x:7:7::/:/x\n"
    base = {b"etc/passwd": BaseFile(b"etc/passwd", passwd.encode("utf-8", "surrogateescape"), Meta(0o644))}
    node = add(store, "app:1000", base=base).node(b"etc/passwd")
    assert isinstance(node, Regular)
    assert node.content == passwd.encode("utf-8", "surrogateescape") + APP.encode()


def test_a_home_folder_is_the_users_again_after_scripts(store: FakeStore) -> None:
    users = [
        User("a", 1, home="/a"),
        User("b", 2, home="/b"),
        User("c", 3, home="/c"),
        User("d", 4),
        User("e", 5, home="/"),
    ]
    tree = Tree()
    tree.put(Directory(b"a"), Meta(0o700))
    tree.put(Directory(b"b"), Meta(0o755, 9, 9))
    tree.put(Symlink(b"c", b"a"), Meta(0o777))
    restore_home_owners(users, tree)
    assert tree.meta(b"a") == Meta(0o700, 1, 1)
    assert tree.meta(b"b") == Meta(0o755, 9, 9)
    assert tree.meta(b"c") == Meta(0o777)
    assert tree.meta(b"") == Meta(0o755)


def test_names_that_the_base_image_has_are_known(store: FakeStore) -> None:
    files = base_files(passwd="app:x:1:1::/:/bin/sh", group="staff:x:50:")
    for user, unknown in (("app:staff", ()), ("web:app", (("web", "/etc/passwd"), ("app", "/etc/group")))):
        assert list_unknown_accounts(user, Tree(), LocalStore(store.root), lambda path, _: files.get(path)) == unknown


def test_an_account_file_that_cannot_be_read_may_have_any_name(store: FakeStore) -> None:
    tree = Tree()
    tree.put(Symlink(b"etc/passwd", b"../elsewhere"), Meta(0o777))
    tree.put(Directory(b"etc/group"), Meta(0o755))
    assert list_unknown_accounts("web:staff", tree, LocalStore(store.root)) == ()
