"""Registrations: the entries of an image's Nix database, and the files that belong beside the database.

Invariant: in the result of `merge_registrations`, every reference of a base image's path is itself registered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lamina.core.names import Digest, StorePath
from lamina.core.nodes import Regular, Symlink
from lamina.core.pathinfo import PathInfo

SCHEMA = b"10"
"""The content of the file ``schema`` that Nix writes beside the database, without a newline."""
REGISTRATION_TIME = 315532800
"""1980-01-01: stdenv's SOURCE_DATE_EPOCH, which dockerTools writes as the registration time."""

_SCHEMA_PATH = b"nix/var/nix/db/schema"
_GC_ROOTS = b"nix/var/nix/gcroots/docker"


@dataclass(frozen=True, slots=True)
class Registration:
    """The record of a valid path in the database: the fields of a `PathInfo`, and its origin.

    Attributes:
        deriver: The store path of the derivation that built it, or empty.
        registration_time: Seconds since 1970-01-01.
        ultimate: Whether it was built on the machine that wrote the database.
        ca: The content address, or empty.
        outputs: For a derivation, the names of its outputs, each once, and their paths, which need not be valid.
    """

    path: StorePath
    nar_hash: Digest
    nar_size: int
    references: frozenset[StorePath]
    deriver: str = ""
    registration_time: int = REGISTRATION_TIME
    ultimate: bool = False
    signatures: frozenset[str] = frozenset()
    ca: str = ""
    outputs: frozenset[tuple[str, StorePath]] = frozenset()

    @classmethod
    def of(cls, info: PathInfo) -> Registration:
        """Return the registration of a path that a store knows, without an origin."""
        return cls(info.path, info.nar_hash, info.nar_size, info.references)


def merge_registrations(
    base: Iterable[Registration], own: Iterable[Registration]
) -> tuple[tuple[Registration, ...], tuple[str, ...]]:
    """Merge the registrations of a base image with lamina's; for a path that both have, ``own`` wins.

    Registrations of ``base`` that refer, directly or indirectly, to a path that is in neither are left out. Those of
    ``own`` are never left out: the caller must provide their references, and `lamina.rootfs.database.dump` raises an
    error if one is missing.

    Returns:
        The registrations in ascending order of their paths, and warnings about those that were left out.
    """
    merged = {registration.path: registration for registration in base}
    own_by_path = {registration.path: registration for registration in own}
    merged |= own_by_path
    reasons = _find_incomplete(
        {path: one.references for path, one in merged.items() if path not in own_by_path}, merged.keys()
    )
    for path in reasons:
        del merged[path]
    return tuple(merged[path] for path in sorted(merged)), _describe(reasons)


def _describe(reasons: Mapping[StorePath, StorePath]) -> tuple[str, ...]:
    if not reasons:
        return ()
    path = min(reasons)
    first = f"{path}, which refers to the missing {reasons[path]}"
    others = f", and {len(reasons) - 1} more for similar reasons" if len(reasons) > 1 else ""
    return (f"Nix database of the base image: left out {first}{others}",)


def make_schema_and_gc_roots(contents: Iterable[StorePath]) -> tuple[Regular | Symlink, ...]:
    """Return the files that belong beside the database; their paths are relative to the image's root.

    These are the file with the schema's number, and for each of ``contents`` a symlink that keeps Nix's garbage
    collector from deleting it (dockertools.md 1.6).
    """
    schema = Regular(_SCHEMA_PATH, executable=False, size=len(SCHEMA), content=SCHEMA)
    names = sorted({path.base for path in contents})
    links = (Symlink(_GC_ROOTS + b"/" + name.encode(), str(StorePath(name)).encode()) for name in names)
    return schema, *links


def _find_incomplete(
    references_by_path: Mapping[StorePath, frozenset[StorePath]], present: Iterable[StorePath]
) -> dict[StorePath, StorePath]:
    """Return the keys of ``references_by_path`` that reach a missing path, each with a reference that is the reason."""
    referrers: dict[StorePath, list[StorePath]] = {}
    for path, references in references_by_path.items():
        for reference in references:
            referrers.setdefault(reference, []).append(path)
    reasons: dict[StorePath, StorePath] = {}
    missing = sorted(referrers.keys() - set(present), reverse=True)
    while missing:
        reference = missing.pop()
        for path in referrers.get(reference, ()):
            if path not in reasons:
                reasons[path] = reference
                missing.append(path)
    return reasons
