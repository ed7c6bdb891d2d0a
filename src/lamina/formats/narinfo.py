"""The narinfo: what a binary cache says of one store path.

Invariant: what `parse` gives names one store path, a NAR hash and size, and signatures that can be checked against
`NarInfo.fingerprint`; anything else raised `FormatError`.

One ``Key: value`` a line; keys unknown here are passed over (Nix source, libstore, nar-info).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lamina.errors import FormatError, InvalidName
from lamina.names import Digest, StorePath
from lamina.pathinfo import PathInfo

_REQUIRED = ("StorePath", "URL", "NarHash", "NarSize")


@dataclass(frozen=True, slots=True)
class NarInfo:
    """One narinfo. ``url`` is relative to the cache; ``compression`` is Nix's word for it."""

    info: PathInfo
    url: str
    compression: str
    signatures: tuple[str, ...]

    @property
    def fingerprint(self) -> str:
        """What is signed: path, NAR hash and size, and references (Nix source, ValidPathInfo::fingerprint)."""
        info = self.info
        references = ",".join(map(str, sorted(info.references)))
        return f"1;{info.path};{info.nar_hash.nix32};{info.nar_size};{references}"


def parse(text: str) -> NarInfo:
    """The narinfo that ``text`` is; raises `FormatError` with the line."""
    fields: dict[str, str] = {}
    signatures: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        key, colon, value = line.partition(": ")
        if not colon:
            key, colon = line.removesuffix(":"), line[-1:]
        if colon not in (": ", ":") or not key:
            raise FormatError(f"narinfo line {number}: got {line[:80]!r}, expected KEY: VALUE")
        if key == "Sig":
            signatures.append(value)
        elif key in fields:
            raise FormatError(f"narinfo line {number}: got a second {key}, expected one")
        else:
            fields[key] = value
    for key in _REQUIRED:
        if not fields.get(key):
            raise FormatError(f"narinfo: got no {key}, expected one")
    try:
        return NarInfo(_info(fields), fields["URL"], fields.get("Compression") or "bzip2", tuple(signatures))
    except InvalidName as error:
        raise FormatError(f"narinfo: {error}") from error


def _info(fields: dict[str, str]) -> PathInfo:
    size = fields["NarSize"]
    if not re.fullmatch("[0-9]{1,19}", size) or not 0 < int(size) < 1 << 63:
        raise FormatError(f"narinfo: got NarSize {size[:40]!r}, expected a positive number")
    references = frozenset(map(StorePath.parse_base, fields.get("References", "").split()))
    return PathInfo(StorePath.parse(fields["StorePath"]), Digest.parse(fields["NarHash"]), int(size), references)
