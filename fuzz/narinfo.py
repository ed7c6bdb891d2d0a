"""Fuzz target: any bytes as a narinfo.

Invariant: `narinfo.parse` returns a narinfo that equals ``parse(found.dump())``, or raises `FormatError` and nothing
else. Its URL stays within the cache. `find_signer` and `has_matching_address` raise no errors.
"""

from __future__ import annotations

from lamina.errors import FormatError
from lamina.formats import narinfo
from lamina.formats.content_address import has_matching_address
from lamina.formats.keys import CACHE_NIXOS_ORG, find_signer


def check(data: bytes) -> None:
    """Raise `AssertionError` if ``data`` violates the invariant."""
    text = data.decode("utf-8", "surrogateescape")
    try:
        found = narinfo.parse(text)
    except FormatError:
        return
    if narinfo.parse(found.dump()) != found:
        raise AssertionError("the narinfo differs after a round trip")
    if found.url.startswith("/") or ".." in found.url.split("/"):
        raise AssertionError("the URL leads out of the cache")
    if find_signer(found.fingerprint, found.signatures, [CACHE_NIXOS_ORG]) not in (None, CACHE_NIXOS_ORG.name):
        raise AssertionError("an unrequested key counts as a signer")
    has_matching_address(found)
