"""Whom a narinfo is believed.

Invariant: what passes was signed by a key that is trusted, or names its own content, which is held to it when it comes,
or nobody was to check.
"""

from __future__ import annotations

from dataclasses import dataclass

from lamina.errors import IntegrityError
from lamina.formats.address import claims
from lamina.formats.keys import CACHE_NIXOS_ORG, PublicKey, signer
from lamina.formats.narinfo import NarInfo


@dataclass(frozen=True, slots=True)
class Trust:
    """The trusted ``keys``; with ``anybody`` no signature is asked for."""

    keys: tuple[PublicKey, ...] = (CACHE_NIXOS_ORG,)
    anybody: bool = False

    def accepts(self, found: NarInfo) -> bool:
        """Whether it is believed (Nix manual, require-sigs)."""
        return self.anybody or claims(found) or self.vouches(found)

    def vouches(self, found: NarInfo) -> bool:
        """Tell whether a trusted key signed its NAR hash, which then counts whatever content address it has."""
        return signer(found.fingerprint, found.signatures, self.keys) is not None

    def check(self, found: NarInfo, where: str) -> None:
        """Raises `IntegrityError` where it is not."""
        if self.accepts(found):
            return
        names = sorted({text.partition(":")[0] for text in found.signatures})
        got = f"no signature but of {', '.join(names)}" if names else "no signature"
        trusted = ", ".join(key.name for key in self.keys) or "a key that is trusted"
        if {key.name for key in self.keys} & set(names):
            got = f"a signature of {', '.join(names)} that does not match"
        raise IntegrityError(
            f"{found.info.path} in {where}: got {got}, expected one of {trusted}",
            hint="--trusted-key NAME:BASE64 trusts a key, --no-verify-signatures whoever runs the cache",
        )
