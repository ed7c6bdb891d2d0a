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

    def accepts(self, narinfo: NarInfo) -> bool:
        """Return whether ``narinfo`` is trusted, by the rules of Nix (Nix manual, require-sigs)."""
        return self.allow_unsigned or has_matching_address(narinfo) or self.trusts_nar_hash(narinfo)

    def trusts_nar_hash(self, narinfo: NarInfo) -> bool:
        """Return whether a trusted key signed the NAR hash of ``narinfo``. Its content address is then not needed."""
        return find_signer(narinfo.fingerprint, narinfo.signatures, self.keys) is not None

    def check(self, narinfo: NarInfo, label: str) -> None:
        """Raise `IntegrityError` if ``narinfo`` is not trusted; ``label`` names the cache in the message."""
        if not self.accepts(narinfo):
            raise self.make_error(narinfo, label)

    def make_error(self, narinfo: NarInfo, label: str) -> IntegrityError:
        """Return the error for a ``narinfo`` that is not trusted; ``label`` names the cache in the message."""
        names = sorted({text.partition(":")[0] for text in narinfo.signatures})
        got = f"only signatures of {', '.join(names)}" if names else "no signature"
        trusted = ", ".join(key.name for key in self.keys) or "a trusted key"
        hint = "--trusted-key NAME:BASE64 trusts another key; --no-verify-signatures accepts any path of the cache"
        forged = sorted({key.name for key in self.keys} & set(names))
        if forged:
            got = f"a signature of {', '.join(names)} that does not match"
            hint = (
                f"compare the key {', '.join(forged)} with the one that the cache's owner publishes; if they are the "
                "same, the cache changed the path or is damaged: do not use it"
            )
        return IntegrityError(f"{narinfo.info.path} in {label}", got, f"a signature of {trusted}", hint=hint)
