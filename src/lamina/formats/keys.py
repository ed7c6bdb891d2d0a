"""The keys that sign narinfos, and what they have signed.

Invariant: ``parse(str(x)) == x``; a key signed a text exactly where `find_signer` names it; no message and no repr
shows a secret.

Keys and signatures are ``NAME:BASE64``; the algorithm is Ed25519 (RFC 8032) over the bytes of the fingerprint (Nix
source, libutil, signature).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from lamina.errors import InvalidArgument
from lamina.messages.redaction import holds_secret, short_repr

_SEED = 32
_SIGNATURE = 64
# Nix parts lists of keys at white space.
_NAME = re.compile(r"[^\s:\x00-\x1f\x7f\ud800-\udfff]+")


@dataclass(frozen=True, slots=True)
class PublicKey:
    """What a signature is checked with: a name and 32 bytes."""

    name: str
    raw: bytes

    @classmethod
    def parse(cls, text: str) -> PublicKey:
        """``NAME:BASE64`` of 32 bytes; raises `InvalidArgument`."""
        name, raw = _split(text)
        if name is None or raw is None or len(raw) != _SEED:
            # Somebody may have taken the secret key for it.
            secret = raw is not None and len(raw) == _SIGNATURE
            got = "a secret key" if secret else f"something else under the name {short_repr(text.partition(':')[0])}"
            raise InvalidArgument(f"public key: got {got}, expected NAME:BASE64 of {_SEED} bytes")
        return cls(name, raw)

    def __str__(self) -> str:
        return _join(self.name, self.raw)

    def verify(self, fingerprint: str, signature: bytes) -> bool:
        """Whether ``signature`` is this key's under ``fingerprint``."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, fingerprint.encode())
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class SecretKey:
    """What signs: a name and 32 bytes that nobody else may know. Only ``str`` shows them."""

    name: str
    seed: bytes = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> SecretKey:
        """``NAME:BASE64`` of 64 bytes, the seed and the public key, as a key file has it; raises `InvalidArgument`."""
        name, raw = _split(text)
        if name is None or raw is None or len(raw) != _SIGNATURE:
            raise InvalidArgument(f"secret key: got something else, expected NAME:BASE64 of {_SIGNATURE} bytes")
        found = cls(name, raw[:_SEED])
        if found.public.raw != raw[_SEED:]:
            raise InvalidArgument(f"secret key {short_repr(name)}: got two halves that do not match, expected one key")
        return found

    @classmethod
    def generate(cls, name: str) -> SecretKey:
        """A new key; raises `InvalidArgument` where no key can have this name."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        if not _NAME.fullmatch(name) or holds_secret(name):
            raise InvalidArgument(f"key name: got {short_repr(name)}, expected a text without ':' and white space")
        return cls(name, Ed25519PrivateKey.generate().private_bytes_raw())

    @property
    def public(self) -> PublicKey:
        """The key that checks what this one signs."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return PublicKey(self.name, Ed25519PrivateKey.from_private_bytes(self.seed).public_key().public_bytes_raw())

    def sign(self, fingerprint: str) -> str:
        """The signature under ``fingerprint``, as a Sig line has it."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return _join(self.name, Ed25519PrivateKey.from_private_bytes(self.seed).sign(fingerprint.encode()))

    def __str__(self) -> str:
        return _join(self.name, self.seed + self.public.raw)


def find_signer(fingerprint: str, signatures: Iterable[str], keys: Iterable[PublicKey]) -> str | None:
    """The name of the first of ``keys`` that signed ``fingerprint``; None where none did.

    A signature counts under the name it bears only; one that is malformed signs nothing.
    """
    raws: dict[str, list[bytes]] = {}
    for text in signatures:
        name, raw = _split(text)
        if name is not None and raw is not None and len(raw) == _SIGNATURE:
            raws.setdefault(name, []).append(raw)
    for key in keys:
        if any(key.verify(fingerprint, raw) for raw in raws.get(key.name, ())):
            return key.name
    return None


def _split(text: str) -> tuple[str | None, bytes | None]:
    """The name and the bytes of ``NAME:BASE64``; None for what cannot be."""
    name, _, rest = text.strip().partition(":")
    try:
        raw = base64.b64decode(rest, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    is_exact = base64.b64encode(raw) == rest.encode(errors="replace")
    return name if _NAME.fullmatch(name) else None, raw if is_exact else None


def _join(name: str, raw: bytes) -> str:
    return f"{name}:{base64.b64encode(raw).decode()}"


# Nix trusts it where nobody says otherwise (Nix manual, trusted-public-keys).
CACHE_NIXOS_ORG = PublicKey.parse("cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY=")
