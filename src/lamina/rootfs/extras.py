"""Ready-made contents for ``--with``, as in nixpkgs' dockerTools: fakeNss, caCertificates, binSh and usrBinEnv.

An extra depends only on its name, the closure, the store and the base image, never on other files of this machine.
Paths that the root already has are kept.

    nss     /etc/passwd, /etc/group and /etc/nsswitch.conf with root and nobody, and an empty /var/empty; the users and
            groups of a base image stay, and those that are missing are added to its files
    certs   Mozilla's certificate authorities, from the Python package certifi, at the paths that programs read
    sh      /bin/sh, a symlink to the shell of the closure, or to that of the store if the closure has none
    env     /usr/bin/env, a symlink that is chosen in the same way
    tmp     /tmp with mode 1777
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from lamina.core.closure import Closure
from lamina.core.names import StorePath
from lamina.core.nodes import Directory, Node, Regular, Symlink
from lamina.errors import NotFound
from lamina.rootfs.accounts import (
    GROUP,
    MAX_ACCOUNT_FILE_SIZE,
    PASSWD,
    BaseFile,
    FindFile,
    find_no_file,
    merge_accounts,
)
from lamina.rootfs.tree import DIRECTORY_MODE, FILE_MODE, SYMLINK_MODE, Meta, Tree
from lamina.stores.store import Store

_ACCOUNTS = {b"etc/passwd": PASSWD, b"etc/group": GROUP}
_NSSWITCH = b"hosts: files dns\n"
_BUNDLES = (b"etc/ssl/certs/ca-bundle.crt", b"etc/ssl/certs/ca-certificates.crt", b"etc/pki/tls/certs/ca-bundle.crt")
_TMP_MODE = 0o1777

_Item = tuple[Node, Meta]


@dataclass(frozen=True, slots=True)
class _Program:
    """A symlink to a program: its path, and the packages and names to look for, most preferred first."""

    link: bytes
    packages: tuple[str, ...]
    names: tuple[bytes, ...]


_BUSYBOX = ("busybox", "busybox-static", "busybox-sandbox-shell")
_SH = _Program(b"bin/sh", ("bash-interactive", "bash", "dash", *_BUSYBOX), (b"bin/sh", b"bin/bash"))
_ENV = _Program(b"usr/bin/env", ("coreutils", "coreutils-full", "uutils-coreutils-noprefix", *_BUSYBOX), (b"bin/env",))


def add_extras(
    names: Collection[str], tree: Tree, closure: Closure, store: Store, find: FindFile = find_no_file
) -> tuple[str, ...]:
    """Add the extras called ``names``, which are keys of `EXTRAS`, to ``tree``; ``find`` finds base image files.

    Returns:
        Warnings about paths that were left out or merged, because the root or the base image already has them.

    Raises:
        NotFound: The shell or ``env`` was not found, or several store paths have it.
    """
    warnings: list[str] = []
    for name in names:
        link = _LINKS.get(name)
        if link and tree.node(link):
            continue  # the root already has this program
        for node, meta in EXTRAS[name](closure, store):
            present = tree.node(node.path)
            base_file = find(node.path, MAX_ACCOUNT_FILE_SIZE) if name == "nss" and isinstance(node, Regular) else None
            if present is None and base_file:
                warnings.append(_merge_account_file(base_file, node, tree))
            elif present is None:
                tree.put(node, meta)
            elif not (isinstance(present, Directory) and isinstance(node, Directory)):
                warnings.append(f"/{os.fsdecode(node.path)}: there already, left out that of {name}")
    return tuple(warnings)


def _merge_account_file(base_file: BaseFile, node: Node, tree: Tree) -> str:
    """Add the base image's file to ``tree``, extended by the accounts of ``node`` that it lacks; return a warning."""
    prefix = f"/{os.fsdecode(node.path)}: the base image has it"
    if node.path not in _ACCOUNTS:
        return f"{prefix}, left out that of nss"
    content, added = merge_accounts(base_file.content, _ACCOUNTS[node.path])
    if not added:
        return f"{prefix}, with all that nss brings, left as it is"
    tree.put(Regular(base_file.path, False, len(content), content), base_file.meta)
    return f"{prefix}, merged {' and '.join(added)} of nss into it"


def _nss(closure: Closure, store: Store) -> Iterator[_Item]:
    yield _file(b"etc/passwd", PASSWD)
    yield _file(b"etc/group", GROUP)
    yield _file(b"etc/nsswitch.conf", _NSSWITCH)
    yield Directory(b"var/empty"), Meta(DIRECTORY_MODE)


def _certs(closure: Closure, store: Store) -> Iterator[_Item]:
    import certifi

    first, *others = _BUNDLES
    yield _file(first, certifi.contents().encode())
    for path in others:
        yield _link(path, b"/" + first)


def _tmp(closure: Closure, store: Store) -> Iterator[_Item]:
    yield Directory(b"tmp"), Meta(_TMP_MODE)


def _sh(closure: Closure, store: Store) -> Iterator[_Item]:
    yield _link_to_program(_SH, closure, store)


def _env(closure: Closure, store: Store) -> Iterator[_Item]:
    yield _link_to_program(_ENV, closure, store)


EXTRAS: Mapping[str, Callable[[Closure, Store], Iterator[_Item]]] = {
    "nss": _nss,
    "certs": _certs,
    "sh": _sh,
    "env": _env,
    "tmp": _tmp,
}


_LINKS = {"sh": _SH.link, "env": _ENV.link}


def _link_to_program(program: _Program, closure: Closure, store: Store) -> _Item:
    link = f"/{program.link.decode()}"
    in_closure = [[info.path for info in closure if info.path.package == package] for package in program.packages]
    in_store = (store.find(package) for package in program.packages)
    hint = f"choose the program: --symlink {link}=PROGRAM instead of --with"
    for candidates in (*in_closure, *in_store):
        found = [target for path in candidates for target in _find_targets(path, program, store)]
        if len(found) > 1:
            programs = ", ".join(found)
            raise NotFound(link, f"{len(found)} programs for it", f"one: {programs}", hint=hint)
        if found:
            return _link(program.link, found[0].encode())
    raise NotFound(link, f"none of {', '.join(program.packages)} in the store", "one", hint=hint)


def _find_targets(path: StorePath, program: _Program, store: Store) -> Iterator[str]:
    """Yield the path of the program in the store path ``path``, if it has one."""
    paths = {node.path for node in store.nodes(path)}
    name = next((name for name in program.names if name in paths), None)
    if name:
        yield f"{path}/{name.decode()}"


def _file(path: bytes, content: bytes) -> _Item:
    return Regular(path, False, len(content), content), Meta(FILE_MODE)


def _link(path: bytes, target: bytes) -> _Item:
    return Symlink(path, target), Meta(SYMLINK_MODE)
