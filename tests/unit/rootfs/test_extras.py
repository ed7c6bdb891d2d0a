"""Ready-made contents: what each extra adds, and where the shell and env come from."""

from __future__ import annotations

import re
from pathlib import Path

import certifi
import pytest
from tests.support.fake_nix_store import FakeStore, Program, example

import lamina
from lamina.core.closure import Closure
from lamina.core.nodes import Directory, Regular, Symlink
from lamina.errors import NotFound
from lamina.rootfs.extras import EXTRAS, add_extras
from lamina.rootfs.tree import Meta, Tree
from lamina.stores.local.database import LocalStore


@pytest.fixture
def store(tmp_path: Path) -> FakeStore:
    return example(tmp_path / "root")[0]


def add(store: FakeStore, *words: str, tree: Tree | None = None) -> tuple[Tree, tuple[str, ...]]:
    tree = tree or Tree()
    return tree, add_extras(words, tree, Closure.of(()), LocalStore(store.root))


def test_nss_gives_root_and_nobody_names_and_an_empty_home(store: FakeStore) -> None:
    """dockertools.md 1.11, fakeNss."""
    tree, _ = add(store, "nss")
    passwd, group, switch = (tree.node(b"etc/" + name) for name in (b"passwd", b"group", b"nsswitch.conf"))
    assert isinstance(passwd, Regular)
    assert passwd.content == (
        b"root:x:0:0:root user:/var/empty:/bin/sh\nnobody:x:65534:65534:nobody:/var/empty:/bin/sh\n"
    )
    assert isinstance(group, Regular)
    assert group.content == b"root:x:0:\nnobody:x:65534:\n"
    assert isinstance(switch, Regular)
    assert switch.content == b"hosts: files dns\n"
    assert tree.node(b"var/empty") == Directory(b"var/empty")


def test_certs_are_where_programs_look_for_them(store: FakeStore) -> None:
    tree, _ = add(store, "certs")
    bundle = tree.node(b"etc/ssl/certs/ca-bundle.crt")
    assert isinstance(bundle, Regular)
    assert bundle.content == Path(certifi.where()).read_bytes()
    for path in (b"etc/ssl/certs/ca-certificates.crt", b"etc/pki/tls/certs/ca-bundle.crt"):
        assert tree.node(path) == Symlink(path, b"/etc/ssl/certs/ca-bundle.crt")


def test_tmp_is_writable_for_every_user(store: FakeStore) -> None:
    assert add(store, "tmp")[0].meta(b"tmp") == Meta(0o1777)


def test_the_shell_and_env_come_from_the_store_by_name(store: FakeStore) -> None:
    bash = store.add("bash-interactive-5.2", {"bin": {"bash": Program(b"x"), "sh": Program(b"x")}})
    store.add("bash-interactive-5.2-doc", {"share": {}})
    coreutils = store.add("coreutils-9.5", {"bin": {"env": Program(b"x")}})
    tree, _ = add(store, "sh", "env")
    assert tree.node(b"bin/sh") == Symlink(b"bin/sh", f"{bash}/bin/sh".encode())
    assert tree.node(b"usr/bin/env") == Symlink(b"usr/bin/env", f"{coreutils}/bin/env".encode())


def test_a_shell_of_the_closure_is_preferred_to_one_of_the_store(store: FakeStore) -> None:
    mine = store.add("bash-5.1", {"bin": {"bash": Program(b"x")}})
    store.add("bash-5.2", {"bin": {"bash": Program(b"x")}})
    made = lamina.stream_layered_image(
        contents=[str(mine)], extras="sh", store=str(store.root), name="x", architecture="amd64"
    )
    tree = made.draft.root.tree  # type: ignore[attr-defined]
    assert tree.node(b"bin/sh") == Symlink(b"bin/sh", f"{mine}/bin/bash".encode())


def test_a_shell_of_the_closure_is_preferred_even_if_the_store_has_a_better_one(store: FakeStore) -> None:
    mine = store.add("busybox-static-1.36", {"bin": {"sh": Program(b"x"), "env": Program(b"x")}})
    for version in ("5.1", "5.2"):
        store.add(f"bash-interactive-{version}", {"bin": {"bash": Program(b"x")}})
    tree = Tree()
    add_extras(["sh", "env"], tree, Closure.resolve([mine], LocalStore(store.root).query), LocalStore(store.root))
    assert tree.node(b"bin/sh") == Symlink(b"bin/sh", f"{mine}/bin/sh".encode())
    assert tree.node(b"usr/bin/env") == Symlink(b"usr/bin/env", f"{mine}/bin/env".encode())


def test_no_shell_is_looked_for_if_the_root_has_one(store: FakeStore) -> None:
    tree = Tree()
    tree.put(Symlink(b"bin/sh", b"/mine"), Meta(0o777))
    assert add(store, "sh", tree=tree)[1] == ()
    assert tree.node(b"bin/sh") == Symlink(b"bin/sh", b"/mine")


def test_two_shells_are_an_error_that_names_both_and_a_solution(store: FakeStore) -> None:
    store.add("bash-5.1", {"bin": {"bash": Program(b"x")}})
    store.add("bash-5.2", {"bin": {"bash": Program(b"x")}})
    with pytest.raises(NotFound, match=r"/bin/sh: got 2 programs for it, expected one: .*5\.1.*5\.2") as caught:
        add(store, "sh")
    assert caught.value.hint == "choose the program: --symlink /bin/sh=PROGRAM instead of --with"
    with pytest.raises(NotFound, match=r"/usr/bin/env: got none of coreutils, .* in the store, expected one"):
        add(store, "env")


def test_existing_paths_of_the_root_are_kept(store: FakeStore) -> None:
    tree = Tree()
    tree.put(Symlink(b"etc/passwd", b"/mine"), Meta(0o777))
    tree.put(Directory(b"var/empty"), Meta(0o700))
    _, warnings = add(store, "nss", tree=tree)
    assert tree.node(b"etc/passwd") == Symlink(b"etc/passwd", b"/mine")
    assert tree.meta(b"var/empty") == Meta(0o700)
    assert warnings == ("/etc/passwd: there already, left out that of nss",)


def test_scripts_see_the_extras_with_their_modes(store: FakeStore) -> None:
    script = 'grep -q nobody etc/passwd; [ "$(stat -c %a tmp)" = 1777 ]; echo me:x:1000:100::/:/bin/sh >> etc/passwd'
    made = lamina.stream_layered_image(
        contents=["hello"],
        extras=["nss", "tmp"],
        extra_commands=script,
        store=str(store.root),
        search_path="/usr/bin:/bin",
    )
    assert made.draft.root.tree.node(b"etc/passwd").size > 100  # type: ignore[attr-defined]


def test_an_unknown_extra_is_an_error_that_names_the_known_ones(store: FakeStore) -> None:
    with pytest.raises(lamina.InvalidArgument, match=re.escape(f"expected some of {', '.join(EXTRAS)}")):
        lamina.stream_layered_image(contents=["hello"], extras="nss,cert", store=str(store.root))
