"""What the database of an image's Nix store says, and what belongs beside it.

Invariant: in what `merge_registrations` gives, nothing of the base image refers to what is not there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lamina.core.names import Digest, StorePath
from lamina.core.nodes import Regular, Symlink
from lamina.core.pathinfo import PathInfo

SCHEMA = b"10"
"""What Nix writes to the file ``schema`` beside the database, without a line's end."""
REGISTRATION_TIME = 315532800
"""1980-01-01: stdenv's SOURCE_DATE_EPOCH, which dockerTools puts there."""

_SCHEMA_PATH = b"nix/var/nix/db/schema"
_GC_ROOTS = b"nix/var/nix/gcroots/docker"


@dataclass(frozen=True, slots=True)
class Registration:
    """What the database says of a valid path: a `PathInfo`, and where it came from.

    ``deriver`` is a store path or empty, ``ca`` how its content gave it its name or empty, ``ultimate`` that it was
    built here. A derivation has ``outputs``: names, each once, and paths, which need not be valid.
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
        """What a store knows of a path; where it came from is left open."""
        return cls(info.path, info.nar_hash, info.nar_size, info.references)


def merge_registrations(
    base: Iterable[Registration], own: Iterable[Registration]
) -> tuple[tuple[Registration, ...], tuple[str, ...]]:
    """Both, in ascending order of the path, and what was odd about ``base``; ``own`` wins where both have a path.

    Those of ``base`` that refer, directly or not, to what neither has are left out. Those of ``own`` never are: their
    references are the caller's to fulfil, and `dump` says where they are not.
    """
    kept = {registration.path: registration for registration in base}
    fixed = {registration.path: registration for registration in own}
    kept |= fixed
    reasons = _find_incomplete({path: one.references for path, one in kept.items() if path not in fixed}, kept.keys())
    for path in reasons:
        del kept[path]
    return tuple(kept[path] for path in sorted(kept)), _describe(reasons)


def _describe(reasons: Mapping[StorePath, StorePath]) -> tuple[str, ...]:
    if not reasons:
        return ()
    path = min(reasons)
    which = f"{path}, which refers to {reasons[path]} and does not find it"
    others = f", and {len(reasons) - 1} more for like reasons" if len(reasons) > 1 else ""
    return (f"Nix database of the base image: left out {which}{others}",)


def make_schema_and_gc_roots(contents: Iterable[StorePath]) -> tuple[Regular | Symlink, ...]:
    """What belongs beside the database, paths relative to the image's root: the number of its schema, and a link for
    each of ``contents`` that keeps Nix from collecting it (dockertools.md 1.6).
    """
    schema = Regular(_SCHEMA_PATH, executable=False, size=len(SCHEMA), content=SCHEMA)
    names = sorted({path.base for path in contents})
    links = (Symlink(_GC_ROOTS + b"/" + name.encode(), str(StorePath(name)).encode()) for name in names)
    return schema, *links


def _find_incomplete(
    references_by_path: Mapping[StorePath, frozenset[StorePath]], present: Iterable[StorePath]
) -> dict[StorePath, StorePath]:
    """Which keys of ``references_by_path`` reach what is not ``present``, each with a reference that is the reason."""
    users: dict[StorePath, list[StorePath]] = {}
    for path, references in references_by_path.items():
        for reference in references:
            users.setdefault(reference, []).append(path)
    reasons: dict[StorePath, StorePath] = {}
    missing = sorted(users.keys() - set(present), reverse=True)
    while missing:
        reference = missing.pop()
        for path in users.get(reference, ()):
            if path not in reasons:
                reasons[path] = reference
                missing.append(path)
    return reasons
