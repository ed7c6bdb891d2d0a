"""The layer key and its inputs, which are everything that the bytes of a store layer depend on.

Invariant: layers of equal inputs have equal bytes, and ``LayerInputs.parse(inputs.dump()) == inputs``.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TypeVar

from lamina.core.names import Digest, StorePath
from lamina.errors import FormatError, InvalidArgument
from lamina.formats.json_toml import parse_json
from lamina.formats.tar import Owner
from lamina.messages.redaction import short_repr

_T = TypeVar("_T")

TAR_RULES = 1
"""The version of the tar rules. It is increased whenever the same nodes would give different bytes."""


@dataclass(frozen=True, slots=True)
class LayerInputs:
    """The inputs of a layer of store paths.

    ``mtime`` is in whole seconds since 1970. ``contents`` lists the paths in packing order, each with its NAR hash and
    its NAR size in bytes.
    """

    owner: Owner
    mtime: int
    contents: tuple[tuple[StorePath, Digest, int], ...]

    @property
    def key(self) -> Digest:
        """The layer key: the SHA-256 of `dump`. Layers with equal keys have equal bytes."""
        return Digest(hashlib.sha256(self.dump()).digest())

    @property
    def paths(self) -> tuple[StorePath, ...]:
        """The store paths in packing order."""
        return tuple(path for path, _, _ in self.contents)

    def dump(self) -> bytes:
        """Return the inputs and the version of the tar rules as ASCII JSON; equal inputs give equal bytes."""
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
    def parse(cls, data: bytes) -> LayerInputs:
        """Parse the output of `dump` under the same tar rules. Raises `FormatError` for anything else."""
        try:
            value = parse_json(data, "layer inputs")
            uid, gid, mtime = (_typed(value[key], int) for key in ("uid", "gid", "mtime"))
            owner = Owner(uid, gid, _typed(value["uname"], str), _typed(value["gname"], str))
            contents = tuple(
                (StorePath.parse_base(base), Digest.parse(nar_hash), _typed(nar_size, int))
                for base, nar_hash, nar_size in value["paths"]
            )
            inputs = cls(owner, mtime, contents)
            if inputs.dump() != data:
                raise ValueError
        except (FormatError, ValueError, TypeError, KeyError, InvalidArgument) as error:
            raise FormatError("layer inputs", short_repr(data), "the output of LayerInputs.dump") from error
        return inputs


def _typed(value: object, kind: type[_T]) -> _T:
    """Return ``value``, or raise `TypeError` if its class is not exactly ``kind``. A bool does not count as an int."""
    if type(value) is not kind:
        raise TypeError(value)
    return value
