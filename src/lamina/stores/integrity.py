"""Check NARs against path infos and content addresses."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

from lamina.core.callbacks import accept, ignore
from lamina.core.nodes import Extent
from lamina.core.pathinfo import PathInfo
from lamina.errors import IntegrityError
from lamina.formats.content_address import ContentAddress, ContentAddressCheck, has_matching_address
from lamina.formats.narinfo import NarInfo
from lamina.stores.incoming import IncomingFile
from lamina.system import narfile
from lamina.system.transfer import BlobInfo, HashingWriter, copy


def check_incoming(narinfo: NarInfo, incoming: IncomingFile, label: str) -> None:
    """Check the size, hash and structure of a received NAR against ``narinfo``.

    Raises `IntegrityError`, and `FormatError` if it is not a NAR; ``label`` names the source in the message.
    """
    info, nar = narinfo.info, incoming.blob_info
    if nar.size != info.nar_size:
        raise IntegrityError(f"{info.path} in {label}", f"a NAR of {nar.size} bytes", info.nar_size)
    if nar.digest != info.nar_hash:
        raise IntegrityError(f"{info.path} in {label}", f"a NAR with hash {nar.digest}", info.nar_hash)
    narfile.check_nar_file(narfile.nar_extent(os.fsencode(incoming.path)), f"{info.path} in {label}")


def check_nar_hash(info: PathInfo, actual: BlobInfo) -> None:
    """Raise `IntegrityError` if ``actual``, the hash and size of a NAR, does not match ``info``."""
    if actual.digest != info.nar_hash:
        raise IntegrityError(info.path, f"NAR hash {actual.digest}", info.nar_hash, hint=REPAIR_HINT)
    if actual.size != info.nar_size:
        raise IntegrityError(info.path, f"a NAR of {actual.size} bytes", info.nar_size, hint=REPAIR_HINT)


def check_nar(narinfo: NarInfo, extent: Extent, on_bytes: Callable[[memoryview], object] = ignore) -> None:
    """Read the NAR at ``extent`` and check its size, hash and structure against ``narinfo``.

    Each part of the NAR is passed to ``on_bytes``. The content address is also checked if it is the only reason to
    trust the path. Raises `IntegrityError`, `FormatError`, `Unavailable`.
    """
    # A signature covers the NAR hash, and therefore the content.
    unsigned = replace(narinfo, address="") if narinfo.signatures else narinfo
    content_check = ContentCheck(unsigned, narinfo.info.path, is_vouched=ignore)

    def feed(data: memoryview) -> None:
        content_check.feed(data)
        on_bytes(data)

    writer = HashingWriter(feed)
    copy((extent,), writer)
    check_nar_hash(narinfo.info, writer.blob_info)
    content_check.finish()
    narfile.check_nar_file(extent)


class ContentCheck:
    """Checks the content address of a narinfo against the NAR that is passed to ``feed``.

    Signatures do not cover the address. An address from which another path follows is ignored. A wrong address is also
    ignored if the NAR hash is trusted for another reason; `finish` removes both from the narinfo. If the address is the
    only reason to trust the path, a wrong address is an error. An address that equals the NAR hash needs no separate
    check.

    Args:
        narinfo: The narinfo to check.
        subject: The start of an error message.
        is_vouched: Returns whether the NAR hash of a narinfo is trusted for another reason than its address.
    """

    def __init__(self, narinfo: NarInfo, subject: object, is_vouched: Callable[[NarInfo], object]) -> None:
        self._narinfo = narinfo if has_matching_address(narinfo) else replace(narinfo, address="")
        self._subject = subject
        self._is_vouched = is_vouched
        self.feed: Callable[[bytes | memoryview], object] = ignore
        self._matches: Callable[[], bool] = accept
        if self._narinfo.address:
            address = ContentAddress.parse(narinfo.address)
            if not address.equals_nar_hash(narinfo.info):
                check = ContentAddressCheck(address, narinfo.info)
                self.feed, self._matches = check.feed, check.matches

    def finish(self) -> NarInfo:
        """Return the narinfo after the last byte, without its content address if that is wrong.

        Raises `IntegrityError` if the address is wrong and there is no other reason to trust the path.
        """
        narinfo = self._narinfo
        if self._matches():
            return narinfo
        if not self._is_vouched(narinfo):
            raise IntegrityError(self._subject, "other content", f"content that matches {narinfo.address}")
        return replace(narinfo, address="")


REPAIR_HINT = "run lamina store verify --repair --store URL to fetch damaged paths again from a binary cache"
