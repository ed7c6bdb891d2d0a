"""The keys that sign narinfos, and the verification of signatures.

Keys and signatures are ``NAME:BASE64``. The algorithm is Ed25519 (RFC 8032) over the bytes of the fingerprint (Nix
source, libutil, signature).

Invariant: ``parse(str(x)) == x``, and no error message and no ``repr`` contains a secret key.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from lamina.errors import InvalidArgument
from lamina.messages.redaction import holds_secret, short_repr

_KEY_SIZE = 32
_SECRET_KEY_SIZE = 64
_SIGNATURE_SIZE = 64
# Nix splits lists of keys at white space, so a name has none.
_NAME = re.compile(r"[^\s:\x00-\x1f\x7f\ud800-\udfff]+")


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that verifies signatures: a name and 32 bytes.

    Attributes:
        name: the name, which signatures begin with.
        raw: the 32 bytes of the key (Ed25519).
    """

    name: str
    raw: bytes

    @classmethod
    def parse(cls, text: str) -> PublicKey:
        """Parse ``NAME:BASE64`` of 32 bytes. Raises `InvalidArgument`."""
        name, raw = _split_key(text)
        if name is None or raw is None or len(raw) != _KEY_SIZE:
            # The text may be a secret key by mistake, so the message must not contain it.
            secret = raw is not None and len(raw) == _SECRET_KEY_SIZE
            got = "a secret key" if secret else f"an invalid key named {short_repr(text.partition(':')[0])}"
            raise InvalidArgument("public key", got, f"NAME:BASE64 of {_KEY_SIZE} bytes")
        return cls(name, raw)

    def __str__(self) -> str:
        return _join_key(self.name, self.raw)

    def verify(self, fingerprint: str, signature: bytes) -> bool:
        """Return whether ``signature`` is a signature of ``fingerprint`` by this key."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, fingerprint.encode())
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class SecretKey:
    """A key that signs: a name and 32 secret bytes. ``str`` contains the secret and ``repr`` does not."""

    name: str
    seed: bytes = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> SecretKey:
        """Parse a key file: ``NAME:BASE64`` of 64 bytes, the seed and the public key. Raises `InvalidArgument`."""
        name, raw = _split_key(text)
        if name is None or raw is None or len(raw) != _SECRET_KEY_SIZE:
            raise InvalidArgument("secret key", "an invalid key", f"NAME:BASE64 of {_SECRET_KEY_SIZE} bytes")
        found = cls(name, raw[:_KEY_SIZE])
        if found.public.raw != raw[_KEY_SIZE:]:
            raise InvalidArgument(
                f"secret key {short_repr(name)}", "halves that do not match", "a seed and its public key"
            )
        return found

    @classmethod
    def generate(cls, name: str) -> SecretKey:
        """Generate a new key. Raises `InvalidArgument` if ``name`` is not a valid name for a key."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        if not _NAME.fullmatch(name) or holds_secret(name):
            raise InvalidArgument("key name", short_repr(name), "a name without ':' and white space")
        return cls(name, Ed25519PrivateKey.generate().private_bytes_raw())

    @property
    def public(self) -> PublicKey:
        """The key that verifies signatures by this key."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return PublicKey(self.name, Ed25519PrivateKey.from_private_bytes(self.seed).public_key().public_bytes_raw())

    def sign(self, fingerprint: str) -> str:
        """Return the signature of ``fingerprint`` in the form of a ``Sig`` field, ``NAME:BASE64``."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return _join_key(self.name, Ed25519PrivateKey.from_private_bytes(self.seed).sign(fingerprint.encode()))

    def __str__(self) -> str:
        return _join_key(self.name, self.seed + self.public.raw)


def find_signer(fingerprint: str, signatures: Iterable[str], keys: Iterable[PublicKey]) -> str | None:
    """Return the name of the first of ``keys`` that signed ``fingerprint``, or None.

    A signature is only checked against keys that have its name. Malformed signatures are ignored.
    """
    by_name: dict[str, list[bytes]] = {}
    for text in signatures:
        name, raw = _split_key(text)
        if name is not None and raw is not None and len(raw) == _SIGNATURE_SIZE:
            by_name.setdefault(name, []).append(raw)
    for key in keys:
        if any(key.verify(fingerprint, raw) for raw in by_name.get(key.name, ())):
            return key.name
    return None


def _split_key(text: str) -> tuple[str | None, bytes | None]:
    """Split ``NAME:BASE64`` into name and bytes; a part that is invalid is None."""
    name, _, rest = text.strip().partition(":")
    try:
        raw = base64.b64decode(rest, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    is_exact = base64.b64encode(raw) == rest.encode(errors="replace")
    return name if _NAME.fullmatch(name) else None, raw if is_exact else None


def _join_key(name: str, raw: bytes) -> str:
    return f"{name}:{base64.b64encode(raw).decode()}"


# The key that Nix trusts by default (Nix manual, trusted-public-keys).
CACHE_NIXOS_ORG = PublicKey.parse("cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY=")
