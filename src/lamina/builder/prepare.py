"""Prepare an image: turn a checked spec into a draft.

Every error in names, references, layer budget, contents and scripts is raised here, before a byte of the image is
written.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from lamina.builder import nix_database
from lamina.builder.architecture import choose_architecture, detect_architecture
from lamina.builder.base_image import BaseImage
from lamina.builder.image_closure import (
    add_references,
    resolve_added,
    resolve_contents,
    resolve_declared_closure,
    resolve_spec_closure,
    scan_config,
)
from lamina.builder.layer_plans import check_layer_count, plan_layers
from lamina.builder.open_base import OpenBase, open_base
from lamina.builder.root import CustomisedRoot, customise
from lamina.core.callbacks import ignore
from lamina.core.closure import Closure
from lamina.core.names import StorePath, StoreSubpath
from lamina.core.progress import Progress
from lamina.errors import InvalidArgument, default_hint
from lamina.formats.annotations import CREATED, sort_annotations
from lamina.formats.docker import ImageConfig
from lamina.images.image import Draft, ImageInputs, ImageSettings
from lamina.inputs.parsers import parse_name
from lamina.inputs.roots import make_missing_root_error, resolve_root
from lamina.inputs.spec import Spec
from lamina.layering import NO_PLAN_CACHE, LayerPlan, PlanCache, name_strategy
from lamina.messages.sizes import format_size
from lamina.rootfs.database import DATABASE_PATH
from lamina.rootfs.layer import RootLayer
from lamina.rootfs.overlay import check_whiteouts, overlay_tree
from lamina.rootfs.tree import Tree
from lamina.stores import open as opening
from lamina.stores.store import Store

# The first program is usually in one of the first paths, so the others need not be downloaded to find it.
_DOWNLOADED_TOGETHER = 8
_NAME_HINT = "give the image a name: --name in a command, name in Python and in a spec file"


@dataclass(frozen=True, slots=True)
class PreparedDraft:
    """A draft, with warnings and the output of the scripts; ``root`` is the customisation layer of the draft."""

    draft: Draft
    root: RootLayer
    warnings: tuple[str, ...]
    script_output: str
    sandbox: str


@dataclass(frozen=True, slots=True)
class PreparedRoot:
    """The customisation layer and the closure of the whole image, with warnings and the output of the scripts."""

    layer: RootLayer
    closure: Closure
    warnings: tuple[str, ...]
    script_output: str
    sandbox: str


@dataclass(frozen=True, slots=True)
class PlanResult:
    """The plan of an image.

    Attributes:
        layers: the layers of store paths, from the lowest up.
        warnings: messages about the arguments and the stores.
        decisions: what was decided where no argument said it, and why.
        name: the name of the image; empty if it has none.
        strategy: the name of the strategy that planned the layers, ``pipeline``, or ``function`` for one of the caller.
        closure: the store paths of the image, with their references.
    """

    layers: tuple[LayerPlan, ...]
    warnings: tuple[str, ...]
    decisions: tuple[str, ...] = ()
    name: str = ""
    strategy: str = ""
    closure: Closure = Closure(())  # noqa: RUF009 - it is frozen

    def __repr__(self) -> str:
        size = format_size(sum(layer.nar_size for layer in self.layers))
        return (
            f"<PlanResult: {len(self.layers)} layers, {sum(len(layer.paths) for layer in self.layers)} paths, {size}>"
        )


def prepare(
    spec: Spec,
    store: Store,
    now: datetime,
    progress: Progress | None = None,
    warn: Callable[[str], object] = ignore,
    plan_cache: PlanCache = NO_PLAN_CACHE,
    *,
    bases: OpenBase = open_base,
) -> PreparedDraft:
    """Return the draft of ``spec`` with contents from ``store``; ``now`` is the current time.

    ``progress`` receives the progress of fetching a base image from a registry. ``warn`` is called with warnings about
    the blob cache, which may also come while the draft is written. ``plan_cache`` holds what earlier runs planned.
    Only the contents are downloaded, because the layers may be known. ``bases`` opens the base image.

    This runs the scripts. It raises the errors of resolving, planning, the scripts and the base image.
    """
    _check_not_empty(spec)
    contents = resolve_contents(spec, store)
    name = _choose_name(spec, contents)
    with ExitStack() as resources:
        base = bases(spec, lambda: detect_architecture((content.path for content in contents), store), warn)
        resources.callback(base.close)
        if _needs_base(spec):
            base.fetch(progress)
        prepared = _prepare_over(spec, contents, store, now, name, base, plan_cache)
        resources.pop_all()
    return prepared


def _prepare_over(
    spec: Spec,
    contents: Sequence[StoreSubpath],
    store: Store,
    now: datetime,
    name: str,
    base: BaseImage,
    plan_cache: PlanCache,
) -> PreparedDraft:
    root = _make_root(spec, contents, store, base)
    plan_warnings: list[str] = []
    plans = plan_layers(
        spec,
        root.closure,
        base,
        plan_warnings,
        declare=lambda: resolve_declared_closure(spec, contents, store)[0],
        cache=plan_cache,
    )
    plan_warnings += check_layer_count(spec, base, plans)
    architecture = spec.architecture or choose_architecture(
        _order_paths(root.closure, contents, store), store, base.architecture
    )
    architecture_warnings = _check_architecture(spec, [content.path for content in contents], store)
    config = ImageConfig(architecture, spec.created or now, base.merge_config(spec.config, spec.inherit))
    known = {CREATED: config.created.isoformat(), **base.annotations}
    annotations = sort_annotations(known | dict(spec.annotations))
    settings = ImageSettings(name, spec.tag, config, spec.owner, spec.mtime or now, annotations)
    base_warnings = base.check_architecture(architecture)
    warnings = (*spec.warnings, *architecture_warnings, *base_warnings, *root.warnings, *plan_warnings)
    inputs = ImageInputs(tuple(contents), resolve_added(spec, store), base.image)
    draft = Draft(plans, store, root.layer, settings, base.layers, inputs)
    return PreparedDraft(draft, root.layer, warnings, root.script_output, root.sandbox)


def prepare_root(spec: Spec, store: Store) -> PreparedRoot:
    """Return the customisation layer of ``spec``, whose contents must be store paths.

    This runs the scripts. It raises the errors of resolving, the scripts and the base image.
    """
    return _make_root(spec, [resolve_root(store, text) for text in spec.contents], store, open_base(spec))


def _make_root(spec: Spec, contents: Sequence[StoreSubpath], store: Store, base: BaseImage) -> PreparedRoot:
    """Return the customisation layer of ``spec`` over ``base``; ``contents`` are the resolved contents of ``spec``."""
    is_packed = spec.include_store_paths
    closure, closure_warnings = resolve_spec_closure(spec, contents, store, is_packed=is_packed)
    store.prefetch(content.path for content in contents)
    root = customise(spec, contents, closure, store, base)
    check_whiteouts(root.tree, over_base=base.image is not None)
    # The database mentions every path that it registers. These mentions are not references of the image.
    closure, reference_warnings = add_references(closure, store, root.tree.without(DATABASE_PATH), is_packed=is_packed)
    database_warnings = nix_database.update_database(root.tree, closure, base) if spec.include_nix_db else ()
    tree, overlay_warnings = _overlay_root(root, base)
    warnings = (*closure_warnings, *root.warnings, *reference_warnings, *database_warnings, *overlay_warnings)
    return PreparedRoot(RootLayer(tree, root.workspace), closure, warnings, root.script_output, root.sandbox)


def _needs_base(spec: Spec) -> bool:
    """Return whether the root of ``spec`` has entries, so that the content of a base image is needed."""
    scripts = spec.extra_commands or spec.fake_root_commands
    return bool(spec.contents or spec.tree or spec.extras or spec.add_user or scripts or spec.include_nix_db)


def _overlay_root(root: CustomisedRoot, base: BaseImage) -> tuple[Tree, tuple[str, ...]]:
    """Return the tree of ``root`` over ``base``, and warnings.

    Without entries, the tree of a base image in a registry is empty: it does not even have the root, whose mode and
    owner are those of the base, so that the layers of the base need not be fetched.
    """
    if base.image is None:
        return root.tree, ()
    if base.is_remote and not any(node.path for node, _ in root.tree):
        return root.tree.without(b""), ()
    return overlay_tree(root.tree, base, root.content_links)


def plan(spec: Spec, store: Store) -> PlanResult:
    """Plan the layers of ``spec`` from references alone, without opening a store path or running a script."""
    _check_not_empty(spec)
    contents = resolve_contents(spec, store)
    closure, closure_warnings = resolve_declared_closure(spec, contents, store)
    plan_warnings: list[str] = []
    # A plan reads no program, which could say for which of several platforms the image is.
    with closing(open_base(spec, lambda: choose_architecture((), store))) as base:
        layers = plan_layers(spec, closure, base, plan_warnings, declare=lambda: closure)
        plan_warnings += check_layer_count(spec, base, layers)
    return PlanResult(
        layers,
        (*spec.warnings, *closure_warnings, *plan_warnings),
        name=spec.name or next((content.path.package for content in contents), ""),
        strategy=name_strategy(spec.layering),
        closure=closure,
    )


def _check_not_empty(spec: Spec) -> None:
    """Raise `InvalidArgument` if no argument of ``spec`` names anything that the image could hold."""
    scripts = spec.extra_commands or spec.fake_root_commands
    files = spec.tree or spec.extras or spec.add_user or scripts or spec.include_nix_db
    if spec.contents or spec.closure or spec.from_image or files:
        return
    references = scan_config(spec)
    if not references.paths and not references.hashes:
        raise make_missing_root_error()


def _choose_name(spec: Spec, contents: Sequence[StoreSubpath]) -> str:
    if spec.name:
        return spec.name
    if not contents:
        raise InvalidArgument("name", "none", "one, for there is no ROOT to take it from", hint=_NAME_HINT)
    with default_hint(_NAME_HINT, InvalidArgument):
        return parse_name("name", contents[0].path.package) or ""


def _check_architecture(spec: Spec, paths: Iterable[StorePath], store: Store) -> tuple[str, ...]:
    """Return a warning if the architecture argument differs from that of the first program in ``paths``."""
    found = detect_architecture(paths, store) if spec.architecture else None
    # An ELF header has no variant, such as the v8 of arm64/v8.
    if not found or found == str(spec.architecture).partition("/")[0]:
        return ()
    return (f"architecture: got {spec.architecture}, expected {found}, that of the first program",)


def _order_paths(closure: Closure, contents: Sequence[StoreSubpath], store: Store) -> Iterator[StorePath]:
    """Yield every path once, those of ``contents`` first; the others are downloaded a few at a time."""
    first = dict.fromkeys(content.path for content in contents)
    yield from first
    others = [info.path for info in closure if info.path not in first]
    for start in range(0, len(others), _DOWNLOADED_TOGETHER):
        together = others[start : start + _DOWNLOADED_TOGETHER]
        store.prefetch(together)
        yield from together


def list_script_folders(spec: Spec) -> tuple[Path, ...]:
    """Return the folders that contain the store paths of ``spec``, for a stream script.

    Raises `InvalidArgument` if the store is an object, or a binary cache whose paths are not kept in a folder.
    """
    if not isinstance(spec.store, tuple):
        raise InvalidArgument("script", "a store object", "folders on this machine")
    local = [store for store in spec.store if not opening.is_remote(store)]
    folders = [Path(store) for store in local if os.path.isdir(store)]
    # The paths of a graph file, and of a spec without stores, are in this machine's own store.
    if not spec.store or (len(folders) < len(local) and opening.machine_has_store()):
        folders.append(opening.MACHINE)
    if len(local) < len(spec.store) or spec.channel or not spec.store:
        if spec.embedded_store and opening.is_cache_folder(spec.embedded_store):
            folders.append(Path(spec.embedded_store))
        elif len(local) < len(spec.store) and not any(map(opening.is_cache_folder, local)):
            raise InvalidArgument(
                "script",
                "a binary cache and no embedded store",
                "a folder in which store paths stay",
                hint="name one as embedded_store",
            )
    return tuple(dict.fromkeys(folders))
