"""The image's root: the contents of the customisation layer.

The root is made in one order: symlink tree, ready-made contents, users, Nix database, extra commands, fakeroot
commands, declared entries. Each step sees the results of those before it (nixpkgs: dockerTools,
``customisationLayer``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lamina.builder import nix_database
from lamina.builder.base_image import BaseImage
from lamina.core.closure import Closure
from lamina.core.names import StoreSubpath
from lamina.core.nodes import Node, Symlink
from lamina.inputs.spec import Spec
from lamina.rootfs import extras
from lamina.rootfs.symlink_tree import build_symlink_tree
from lamina.rootfs.tree import Tree
from lamina.stores.store import Store

if TYPE_CHECKING:
    from lamina.rootfs.scripts import ScriptResult
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
    add_declared_entries(spec, tree)
    return CustomisedRoot(tree, content_links, workspace, warnings, output, sandbox)


def _add_users(spec: Spec, tree: Tree, store: Store, base: BaseImage) -> None:
    from lamina.rootfs.users import add_users

    add_users(spec.add_user, tree, store, base.file)


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
