"""Relative paths in a spec file, which start at the folder of the file.

Each function takes the value of an argument and the folder, and returns the value with its relative paths joined to the
folder. Values are not checked yet: a value of a wrong type is returned unchanged, and its parser reports it.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

from lamina.errors import InvalidArgument

if TYPE_CHECKING:
    from pathlib import Path


def rebase_path(value: Any, folder: Path) -> Any:
    """Rebase the name of a file or folder; return URLs unchanged."""
    return _join(folder, value) if isinstance(value, str) and value and "://" not in value else value


def rebase_image(value: Any, folder: Path) -> Any:
    """Rebase the file or layout of an image; return a reference to an image in a registry unchanged."""
    from lamina.images.readers.references import find_layout, find_reference

    if isinstance(value, str) and "\0" not in value and not os.path.lexists(folder / value):
        if layout := find_layout(value):
            return ":".join(filter(None, ("oci", _join(folder, layout[0]), layout[1])))
        with contextlib.suppress(InvalidArgument):  # the error is raised when the image is opened
            return value if find_reference(value) else rebase_path(value, folder)
    return rebase_path(value, folder)


def rebase_images(value: Any, folder: Path) -> Any:
    """Rebase the files, layouts and folders of images; return references unchanged."""
    return [rebase_image(item, folder) for item in _as_list(value)] if isinstance(value, str | list) else value


def _join(folder: Path, path: str) -> str:
    """Join ``path`` to the folder. A path with a slash keeps one, because a word without a slash is a name."""
    joined = str(folder / path)
    return joined if "/" in joined or "/" not in path else f"./{joined}"


def rebase_channel(value: Any, folder: Path) -> Any:
    """Rebase a channel that is a file; return the names of channels unchanged."""
    from lamina.stores.local.channel import CHANNEL_NAME

    return rebase_path(value, folder) if isinstance(value, str) and not CHANNEL_NAME.fullmatch(value) else value


def rebase_paths(value: Any, folder: Path) -> Any:
    """Rebase names of files and folders."""
    return [rebase_path(item, folder) for item in _as_list(value)] if isinstance(value, str | list) else value


def rebase_roots(value: Any, folder: Path) -> Any:
    """Rebase ROOTs."""
    return [_rebase_root(item, folder) for item in _as_list(value)] if isinstance(value, str | list) else value


def rebase_platform_roots(value: Any, folder: Path) -> Any:
    """Rebase the ROOTs of platforms."""
    match value:
        case dict():
            return {platform: rebase_roots(roots, folder) for platform, roots in value.items()}
        case list():
            return [_rebase_platform_root(item, folder) for item in value]
    return value


def _rebase_platform_root(item: Any, folder: Path) -> Any:
    platform, equals, root = item.partition("=") if isinstance(item, str) else ("", "", "")
    return f"{platform}={_rebase_root(root, folder)}" if equals else item


def _as_list(value: str | list[Any]) -> list[Any]:
    return [value] if isinstance(value, str) else value


def _rebase_root(root: Any, folder: Path) -> Any:
    """Rebase a ROOT that is a relative path, such as ``./result`` or ``.#app``; return other ROOTs unchanged."""
    from lamina.inputs.nix_build import needs_nix_build

    path, hash_sign, attribute = root.partition("#") if isinstance(root, str) else ("", "", "")
    is_path = path.startswith(".") if hash_sign else "/" in path or path in (".", "..") or path.endswith(".nix")
    if not is_path or path.startswith("/"):
        return root
    return f"{os.path.abspath(folder / path)}{hash_sign}{attribute}" if needs_nix_build(root) else _join(folder, path)


def rebase_layering(value: Any, folder: Path) -> Any:
    """Rebase the file of a pipeline or of an earlier image, or the links in a pipeline, such as ``./result``."""
    from lamina.inputs.pipelinefile import looks_like_file
    from lamina.layering import STRATEGIES
    from lamina.layering.pinned import PINNED

    match value:
        case str() if value.startswith(PINNED) and value != PINNED:
            return f"{PINNED}{rebase_image(value.removeprefix(PINNED), folder)}"
        case str() if value not in STRATEGIES and looks_like_file(value, folder):
            return rebase_path(value, folder)
        case list():
            return _rebase_links(value, folder)
    return value


def _rebase_links(pipeline: Any, folder: Path) -> Any:
    match pipeline:
        case str() if "/" in pipeline and not pipeline.startswith("/"):
            return os.path.abspath(folder / pipeline)
        case list():
            return [_rebase_links(item, folder) for item in pipeline]
        case dict():
            return {key: _rebase_links(item, folder) for key, item in pipeline.items()}
    return pipeline


def rebase_sources(value: Any, folder: Path) -> Any:
    """Rebase the sources of the files among declared entries."""
    return [_rebase_source(entry, folder) for entry in value] if isinstance(value, list) else value


def _rebase_source(entry: Any, folder: Path) -> Any:
    if not isinstance(entry, dict) or not isinstance(entry.get("file"), str):
        return entry
    path, _, source = entry["file"].partition("=")
    return {**entry, "file": f"{path}={_join(folder, source)}"} if source else entry
