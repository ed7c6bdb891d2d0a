"""The image's root: the contents of the customisation layer.

The root is made in one order: symlink tree, ready-made contents, users, Nix database, extra commands, fakeroot
commands, declared entries. Each step sees the results of those before it (nixpkgs: dockerTools,
``customisationLayer``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lamina.builder import nix_database
from lamina.builder.base_image import BaseImage
from lamina.core.closure import Closure
from lamina.core.names import StoreSubpath
from lamina.core.nodes import Node, Symlink
from lamina.errors import InvalidArgument
from lamina.inputs.spec import Spec
from lamina.messages.redaction import short_repr
from lamina.rootfs import extras
from lamina.rootfs.entries import Dir, Perm
from lamina.rootfs.symlink_tree import build_symlink_tree
from lamina.rootfs.tree import Tree
from lamina.stores.store import Store

if TYPE_CHECKING:
    from lamina.rootfs.scripts import ScriptResult
    from lamina.rootfs.users import User
    from lamina.system.tempdir import TempDir


@dataclass(frozen=True, slots=True)
class CustomisedRoot:
    """The image's root, with warnings and the output of the scripts.

    Attributes:
        tree: the root's files.
        content_links: the links of the symlink tree.
        workspace: the folder that contains the files of ``tree``; None if the files are not on disk.
        warnings: messages about the steps.
        script_output: the output of the scripts.
        sandbox: the name of the sandbox that the scripts ran in; empty if no script ran.

    """

    tree: Tree
    content_links: frozenset[Node]
    workspace: TempDir | None
    warnings: tuple[str, ...]
    script_output: str
    sandbox: str


def customise(
    spec: Spec, contents: Sequence[StoreSubpath], closure: Closure, store: Store, base: BaseImage
) -> CustomisedRoot:
    """Make the root of ``spec``; ``contents`` are its resolved contents, ``closure`` is their closure.

    This runs the scripts. It raises the errors of the stores, the scripts and the base image.
    """
    tree, warnings = build_symlink_tree(contents, store.nodes)
    content_links = frozenset(node for node, _ in tree if isinstance(node, Symlink))
    warnings += extras.add_extras(spec.extras, tree, closure, store, base.file)
    if spec.add_user:
        _add_users(spec, tree, store, base)
    if spec.include_nix_db:
        registered, base_warnings = base.registrations
        warnings += (
            *base_warnings,
            *nix_database.add_database(tree, (content.path for content in contents), closure, registered),
        )
    workspace, output, sandbox = None, "", ""
    if spec.extra_commands or spec.fake_root_commands or spec.include_nix_db:
        result = _run_scripts(spec, tree)
        tree, workspace, output, sandbox = result.tree, result.workspace, result.output, result.sandbox
        warnings += result.warnings
        _restore_home_owners(spec, tree)
    lost = _list_lost_users(spec, tree, store, base)
    warnings += tuple(f"user {user.name}: got {file} without it after the scripts" for user, file in lost)
    add_declared_entries(spec, tree)
    _check_users(lost, _list_lost_users(spec, tree, store, base))
    warnings += (*_warn_of_homes(spec), *_warn_of_unknown_accounts(spec, tree, store, base))
    return CustomisedRoot(tree, content_links, workspace, warnings, output, sandbox)


def _add_users(spec: Spec, tree: Tree, store: Store, base: BaseImage) -> None:
    from lamina.rootfs.users import add_users

    add_users(spec.add_user, tree, store, base.file)


def _list_lost_users(spec: Spec, tree: Tree, store: Store, base: BaseImage) -> tuple[tuple[User, str], ...]:
    """Return each added user that an account file lacks, with the path of that file."""
    if not spec.add_user:
        return ()
    from lamina.rootfs.users import list_lost_users

    return list_lost_users(spec.add_user, tree, store, base.file)


def _check_users(before: Collection[tuple[User, str]], after: Collection[tuple[User, str]]) -> None:
    """Raise `InvalidArgument` if the declared entries replaced an account file, and an added user with it."""
    for user, file in after:
        if (user, file) not in before:
            line = user.passwd_line if file == "/etc/passwd" else user.group_line
            raise InvalidArgument(
                f"user {user.name}",
                f"another {file} among the files of the image",
                "the line of the user in that file",
                hint=f"add {line} to it, or leave out --add-user {user.name}",
            )


def _warn_of_homes(spec: Spec) -> Iterator[str]:
    """Yield a warning for each user whose home folder a declared entry gave to somebody else, such as root."""
    declared = {entry.path.rstrip("/"): entry for entry in spec.tree if isinstance(entry, Dir | Perm)}
    for user in spec.add_user:
        home = (user.home or "").rstrip("/")
        entry = declared.get(home)
        if entry and (entry.uid, entry.gid) != (user.uid, user.group_id):
            owner = f"{user.uid}:{user.group_id}, that of its user"
            yield f"user {user.name}: got the owner {entry.uid}:{entry.gid} for {home}, expected {owner}"


def _warn_of_unknown_accounts(spec: Spec, tree: Tree, store: Store, base: BaseImage) -> Iterator[str]:
    """Yield a warning for the user and for the group of the config if the image has none of that name.

    An engine does not start such an image. Over a base image, an image without files of its own is not checked, because
    the layers of the base are not read for it.
    """
    user = spec.config.get("User")
    if not user or not isinstance(user, str) or (base.image and not any(node.path for node, _ in tree)):
        return
    from lamina.rootfs.users import list_unknown_accounts

    for name, file in list_unknown_accounts(user, tree, store, base.file):
        kind, number = ("user", "UID") if file == "/etc/passwd" else ("group", "UID:GID")
        yield (
            f"config.User: got the {kind} {short_repr(name)}, which {file} lacks, expected one that the image has; "
            f"--add-user NAME:{number} adds one, and a number needs none"
        )


def _restore_home_owners(spec: Spec, tree: Tree) -> None:
    if spec.add_user:
        from lamina.rootfs.users import restore_home_owners

        restore_home_owners(spec.add_user, tree)


def _run_scripts(spec: Spec, tree: Tree) -> ScriptResult:
    """Run the scripts of ``spec`` in a folder that holds ``tree``."""
    from lamina.rootfs.scripts import Scripts, run_scripts

    scripts = Scripts(
        spec.extra_commands,
        spec.fake_root_commands,
        spec.enable_fakechroot,
        spec.search_path,
        spec.time_limit,
        spec.sandbox,
    )
    return run_scripts(tree, scripts)


def add_declared_entries(spec: Spec, tree: Tree) -> None:
    """Add the declared entries of ``spec`` to ``tree``."""
    for entry in spec.tree:
        entry.apply(tree)
