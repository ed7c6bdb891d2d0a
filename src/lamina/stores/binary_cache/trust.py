"""Decide whether a narinfo is trusted.

Invariant: a narinfo passes only if a trusted key signed it, if its path is content-addressed (the content is checked
against the address when it is received), or if the user turned the check off.
"""

from __future__ import annotations

from dataclasses import dataclass

from lamina.errors import IntegrityError
from lamina.formats.content_address import has_matching_address
from lamina.formats.keys import CACHE_NIXOS_ORG, PublicKey, find_signer
from lamina.formats.narinfo import NarInfo


@dataclass(frozen=True, slots=True)
class Trust:
    """The trusted ``keys``; ``allow_unsigned`` turns the check of signatures off."""

    keys: tuple[PublicKey, ...] = (CACHE_NIXOS_ORG,)
    allow_unsigned: bool = False

    def accepts(self, found: NarInfo) -> bool:
        """Return whether ``found`` is trusted, by the rules of Nix (Nix manual, require-sigs)."""
        return self.allow_unsigned or has_matching_address(found) or self.trusts_nar_hash(found)

    def trusts_nar_hash(self, found: NarInfo) -> bool:
        """Return whether a trusted key signed the NAR hash of ``found``, so that it holds regardless of the address."""
        return find_signer(found.fingerprint, found.signatures, self.keys) is not None

    def check(self, found: NarInfo, label: str) -> None:
        """Raise `IntegrityError` if ``found`` is not trusted; ``label`` names the cache in the message."""
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
