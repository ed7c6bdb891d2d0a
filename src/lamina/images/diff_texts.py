"""Describe the differences between two images in texts, which the command line and the page of a comparison share."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lamina.images.package_changes import describe_versions
from lamina.messages.sizes import format_size

if TYPE_CHECKING:
    from lamina.images.blob_totals import BlobTotal
    from lamina.images.config_changes import ConfigChange
    from lamina.images.diff import DiffImage, DiffResult, PackageChange

_OTHER_FILES = "files outside of store paths"
NO_PLATFORM = "not stated"


def describe_change(old: str, new: str) -> str:
    """Return an old and a new value as one text, such as ``app:1 → app:2``; equal ones are named once."""
    return old if old == new else f"{old} → {new}"


def name_images(result: DiffResult) -> str:
    """Return the names of the two images."""
    return describe_change(_name(result.old), _name(result.new))


def describe_platforms(result: DiffResult) -> str:
    """Return the platforms of the two images."""
    return describe_change(result.old.platform or NO_PLATFORM, result.new.platform or NO_PLATFORM)


def describe_sizes(result: DiffResult) -> str:
    """Return the sizes of the two images, and whether they are those of compressed blobs."""
    return describe_change(_describe_size(result.old), _describe_size(result.new))


def describe_total(total: BlobTotal) -> str:
    """Return how many layers there are and their size, such as ``2 layers, 60.0 KiB``."""
    layers = f"{total.count} layer{'' if total.count == 1 else 's'}"
    return f"{layers}, {format_size(total.size)}" if total.count else layers


def describe_package(package: PackageChange, *, is_whole: bool = False) -> str:
    """Return the name and the versions of a package, or its store paths if they are wanted whole."""
    old, new = package.old or package.new, package.new or package.old
    if old is None or new is None:
        return _OTHER_FILES
    return describe_change(str(old), str(new)) if is_whole else describe_versions(old.name, new.name)


def list_setting(change: ConfigChange) -> tuple[str, str, str]:
    """Return the name of a setting, its old value and its new one; empty texts stand for values that are missing."""
    return f"{change.key} {change.name}".strip(), _format_value(change.old), _format_value(change.new)


def _name(image: DiffImage) -> str:
    return next(iter((*image.repo_tags, *image.tags)), "no name")


def _describe_size(image: DiffImage) -> str:
    return f"{format_size(image.size)} {'compressed' if image.is_compressed else 'uncompressed'}"


def _format_value(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
