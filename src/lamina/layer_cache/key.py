"""What the bytes of a layer of store paths depend on: all that a layer key is made from.

Invariant: layers of equal recipes have equal bytes, and ``Recipe.parse(recipe.dump()) == recipe``.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from lamina.core.names import Digest, StorePath
from lamina.errors import FormatError, InvalidName, shown
from lamina.formats.tar import Owner

TAR_RULES = 1
"""The version of the tar rules, raised when the same nodes would give other bytes."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a layer of store paths is made from; ``mtime`` in whole seconds since 1970.

    ``contents`` are the paths in packing order, each with its NAR hash and NAR size.
    """

    owner: Owner
    mtime: int
    contents: tuple[tuple[StorePath, Digest, int], ...]

    @property
    def key(self) -> Digest:
        """The layer key, the SHA-256 of `dump`: layers of equal keys have equal bytes."""
        return Digest(hashlib.sha256(self.dump()).digest())

    @property
    def paths(self) -> tuple[StorePath, ...]:
        """The store paths in packing order."""
        return tuple(path for path, _, _ in self.contents)

    def dump(self) -> bytes:
        """The recipe and the version of the tar rules as JSON in ASCII, always the same."""
        value = {
            "rules": TAR_RULES,
            "uid": self.owner.uid,
            "gid": self.owner.gid,
            "uname": self.owner.uname,
            "gname": self.owner.gname,
            "mtime": self.mtime,
            "paths": [[path.base, str(nar_hash), nar_size] for path, nar_hash, nar_size in self.contents],
        }
        return json.dumps(value, separators=(",", ":")).encode()

    @classmethod
    def parse(cls, data: bytes) -> Recipe:
        """The recipe that was dumped, under the same tar rules; raises `FormatError`."""
        try:
            value = json.loads(data.decode("ascii"))
            uid, gid, mtime = (_integer(value[key]) for key in ("uid", "gid", "mtime"))
            owner = Owner(uid, gid, _text(value["uname"]), _text(value["gname"]))
            contents = tuple(
                (StorePath.parse_base(base), Digest.parse(nar_hash), _integer(nar_size))
                for base, nar_hash, nar_size in value["paths"]
            )
            recipe = cls(owner, mtime, contents)
            same = recipe.dump() == data
        except (ValueError, TypeError, KeyError, RecursionError, InvalidName) as error:
            raise _no_recipe(data) from error
        if not same:
            raise _no_recipe(data)
        return recipe


def _integer(value: object) -> int:
    if type(value) is not int:
        raise TypeError(value)
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _no_recipe(data: bytes) -> FormatError:
    return FormatError(f"layer recipe: got {shown(data)}, expected one as it is dumped")
