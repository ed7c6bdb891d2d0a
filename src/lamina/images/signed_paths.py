"""Check that the contents of store paths are what a trusted key signed.

Invariant: a path counts as signed only if the bytes in the store were hashed, and have the NAR hash of the narinfo that
the key signed.
"""

from __future__ import annotations

from collections.abc import Callable

from lamina.core.names import StorePath
from lamina.core.pathinfo import PathInfo
from lamina.errors import IntegrityError
from lamina.formats.content_address import has_matching_address
from lamina.formats.keys import find_signer
from lamina.images.verification import CONTENT_ADDRESS, VerifiedPath
from lamina.stores.binary_cache.trust import Trust
from lamina.stores.integrity import ContentCheck
from lamina.stores.nars import copy_nar, find_narinfo
from lamina.stores.store import Store


class SignedPaths:
    """Checks the paths of ``store``, each once; ``trust`` has the trusted keys."""

    def __init__(self, store: Store, trust: Trust) -> None:
        self._store = store
        self._trust = trust
        self._checked: dict[StorePath, VerifiedPath] = {}

    def check(self, info: PathInfo, on_bytes: Callable[[int], object]) -> VerifiedPath:
        """Return who signed the path of ``info``. Raises `NotFound` and `Unavailable` if its contents are not there.

        ``on_bytes`` is called with the number of bytes that were hashed.
        """
        if info.path not in self._checked:
            self._checked[info.path] = self._check(info, on_bytes)
        return self._checked[info.path]

    def _check(self, info: PathInfo, on_bytes: Callable[[int], object]) -> VerifiedPath:
        # Of several stores, the one that has the contents is asked for the narinfo, and it is known only then.
        self._store.location(info.path)
        narinfo = find_narinfo(self._store, info)
        content = ContentCheck(narinfo, info.path, self._trust.trusts_nar_hash)

        def feed(data: memoryview) -> None:
            content.feed(data)
            on_bytes(len(data))

        try:
            copy_nar(self._store, info, feed)
            narinfo = content.finish()
        except IntegrityError as error:
            return VerifiedPath(info.path, "", str(error))
        if signer := find_signer(narinfo.fingerprint, narinfo.signatures, self._trust.keys):
            return VerifiedPath(info.path, signer)
        if has_matching_address(narinfo):
            return VerifiedPath(info.path, CONTENT_ADDRESS)
        return VerifiedPath(info.path, "", str(self._trust.make_error(narinfo, self._store.label)))
