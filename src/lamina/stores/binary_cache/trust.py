"""Whom a narinfo is believed.

Invariant: what passes was signed by a key that is trusted, or names its own content, which is held to it when it comes,
or nobody was to check.
"""

from __future__ import annotations

from dataclasses import dataclass

from lamina.errors import IntegrityError
from lamina.formats.content_address import has_matching_address
from lamina.formats.keys import CACHE_NIXOS_ORG, PublicKey, find_signer
from lamina.formats.narinfo import NarInfo


@dataclass(frozen=True, slots=True)
class Trust:
    """The trusted ``keys``; with ``allow_unsigned`` no signature is asked for."""

    keys: tuple[PublicKey, ...] = (CACHE_NIXOS_ORG,)
    allow_unsigned: bool = False

    def accepts(self, found: NarInfo) -> bool:
        """Whether it is believed (Nix manual, require-sigs)."""
        return self.allow_unsigned or has_matching_address(found) or self.trusts_nar_hash(found)

    def trusts_nar_hash(self, found: NarInfo) -> bool:
        """Tell whether a trusted key signed its NAR hash, which then counts whatever content address it has."""
        return find_signer(found.fingerprint, found.signatures, self.keys) is not None

    def check(self, found: NarInfo, label: str) -> None:
        """Raises `IntegrityError` where it is not."""
        if self.accepts(found):
            return
        names = sorted({text.partition(":")[0] for text in found.signatures})
        got = f"no signature but of {', '.join(names)}" if names else "no signature"
        trusted = ", ".join(key.name for key in self.keys) or "a key that is trusted"
        if {key.name for key in self.keys} & set(names):
            got = f"a signature of {', '.join(names)} that does not match"
        raise IntegrityError(
            f"{found.info.path} in {label}: got {got}, expected one of {trusted}",
            hint="--trusted-key NAME:BASE64 trusts a key, --no-verify-signatures whoever runs the cache",
        )
