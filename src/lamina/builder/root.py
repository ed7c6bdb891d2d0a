"""The image's root: all that is in the customisation layer, made in one order.

Invariant: symlink tree, ready-made contents, Nix database, extra commands, fakeroot commands, declared entries; each
sees what those before it made (nixpkgs: dockerTools, ``customisationLayer``).
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
from lamina.stores.protocols import Store

if TYPE_CHECKING:
    from lamina.rootfs.scripts import ScriptResult
    from lamina.system.tempdir import TempDir


@dataclass(frozen=True, slots=True)
class CustomisedRoot:
    """The root's tree and the folder that holds its files, what was odd on the way, and what the scripts printed.

    ``content_links`` are the links of the symlink tree.
    """

    tree: Tree
    content_links: frozenset[Node]
    workspace: TempDir | None
    warnings: tuple[str, ...]
    script_output: str


def customise(
    spec: Spec, contents: Sequence[StoreSubpath], closure: Closure, store: Store, base: BaseImage
) -> CustomisedRoot:
    """The root of ``spec``; ``contents`` are those it names, ``closure`` is theirs.

    Runs the scripts. Raises what any of its parts raises.
    """
    tree, warnings = build_symlink_tree(contents, store.nodes)
    content_links = frozenset(node for node, _ in tree if isinstance(node, Symlink))
    warnings += extras.add_extras(spec.extras, tree, closure, store, base.file)
    if spec.include_nix_db:
        registered, base_warnings = base.registrations
        warnings += (
            *base_warnings,
            *nix_database.add_database(tree, (content.path for content in contents), closure, registered),
        )
    workspace, output = None, ""
    if spec.extra_commands or spec.fake_root_commands or spec.include_nix_db:
        ran = _run_scripts(spec, tree)
        tree, workspace, output = ran.tree, ran.workspace, ran.output
        warnings += ran.warnings
    add_declared_entries(spec, tree)
    return CustomisedRoot(tree, content_links, workspace, warnings, output)


def _run_scripts(spec: Spec, tree: Tree) -> ScriptResult:
    """Run the scripts of ``spec`` over ``tree``."""
    from lamina.rootfs import scripts as commands

    scripts = commands.Scripts(
        spec.extra_commands,
        spec.fake_root_commands,
        spec.enable_fakechroot,
        spec.search_path,
        spec.time_limit,
        spec.sandbox,
    )
    return commands.run_scripts(tree, scripts)


def add_declared_entries(spec: Spec, tree: Tree) -> None:
    """Adds the declared entries of ``spec`` to ``tree``."""
    for entry in spec.tree:
        entry.apply(tree)
