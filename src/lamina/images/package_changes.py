"""Find the old and the new version of a package among the store paths of two images."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, pairwise

from lamina.core.names import StorePath, strip_version
from lamina.core.package_names import PackageName

_NUMBERS = re.compile("([0-9]+)")

PathPair = tuple[StorePath | None, StorePath | None]


def pair_packages(old: Iterable[StorePath], new: Iterable[StorePath]) -> list[PathPair]:
    """Return the store paths of both images in pairs, the old path and the new one.

    A path that both images have is paired with itself. Of the others, first those with the same whole name are paired,
    which were rebuilt, and then those with the same package and output, by ascending version. None stands for a path
    that has no counterpart.

    Args:
        old: the store paths of the old image.
        new: the store paths of the new image.
    """
    before, after = set(old), set(new)
    shared = before & after
    pairs: list[PathPair] = [(path, path) for path in shared]
    before, after = before - shared, after - shared
    for name_of in (_get_name, _get_package_and_last_word, _get_package_and_output):
        found = _pair_by(name_of, before, after)
        before, after = before - {path for path, _ in found}, after - {path for _, path in found}
        pairs += found
    return [*pairs, *((path, None) for path in before), *((None, path) for path in after)]


def _pair_by(
    name_of: Callable[[StorePath], object], old: Iterable[StorePath], new: Iterable[StorePath]
) -> list[tuple[StorePath, StorePath]]:
    before, after = _group(name_of, old), _group(name_of, new)
    return [pair for name in before for pair in zip(before[name], after.get(name, ()), strict=False)]


def _group(name_of: Callable[[StorePath], object], paths: Iterable[StorePath]) -> dict[object, list[StorePath]]:
    groups: dict[object, list[StorePath]] = defaultdict(list)
    for path in sorted(paths, key=_get_version_order):
        groups[name_of(path)].append(path)
    return groups


def _get_name(path: StorePath) -> object:
    return path.name


def _get_package_and_last_word(path: StorePath) -> object:
    """Return the package and the word after the last dash, which may be any output, such as ``libgcc``."""
    word = _get_last_word(path)
    return path.package, word if word.isalpha() else ""


def _get_package_and_output(path: StorePath) -> object:
    found = PackageName.parse(path)
    return found.name, found.output


def _get_last_word(path: StorePath) -> str:
    return path.name[len(path.package) :].rpartition("-")[2]


def _get_version_order(path: StorePath) -> tuple[list[tuple[int, str]], str]:
    """Return a key that sorts 1.9 before 1.10."""
    parts = _NUMBERS.split(path.name)
    return [(int(part), "") if part.isdecimal() else (0, part) for part in parts], path.base


def describe_versions(old: str, new: str) -> str:
    """Return the names of an old and a new store path as one text, such as ``openssl-3.0.13 → 3.0.14``."""
    package = strip_version(old)
    if old == new:
        return old
    return f"{old} → {new.removeprefix(package + '-') if strip_version(new) == package else new}"


def share_out(total: int, weights: Sequence[int]) -> list[int]:
    """Return ``total`` split in proportion to ``weights``, in whole numbers whose sum is ``total``.

    Args:
        total: the number to split.
        weights: at least one weight; if all of them are 0, the shares are equal.
    """
    effective = weights if any(weights) else [1] * len(weights)
    whole = sum(effective)
    bounds = [total * end // whole for end in accumulate(effective, initial=0)]
    return [end - start for start, end in pairwise(bounds)]
