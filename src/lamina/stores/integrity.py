"""Check NARs against path infos and content addresses."""

from __future__ import annotations

import os

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
        raise IntegrityError(f"{info.path} in {label}", got=f"a NAR of {nar.size} bytes", expected=info.nar_size)
    if nar.digest != info.nar_hash:
        raise IntegrityError(f"{info.path} in {label}", got=f"a NAR with hash {nar.digest}", expected=info.nar_hash)
    narfile.check_nar_file(narfile.nar_extent(os.fsencode(incoming.path)), f"{info.path} in {label}")


def check_nar_hash(info: PathInfo, actual: BlobInfo) -> None:
    """Raise `IntegrityError` if ``actual``, the hash and size of a NAR, does not match ``info``."""
    if actual.digest != info.nar_hash:
        raise IntegrityError(info.path, got=f"NAR hash {actual.digest}", expected=info.nar_hash, hint=REPAIR_HINT)
    if actual.size != info.nar_size:
        raise IntegrityError(info.path, got=f"a NAR of {actual.size} bytes", expected=info.nar_size, hint=REPAIR_HINT)


def check_nar(narinfo: NarInfo, extent: Extent) -> None:
    """Read the NAR at ``extent`` and check its size, hash and structure against ``narinfo``.

    The content address is checked too if nothing else vouches for the path.
    Raises `IntegrityError`, `FormatError`, `Unavailable`.
    """
    content_check = required_content_check(narinfo)
    writer = HashingWriter(content_check.feed if content_check else len)
    copy((extent,), writer)
    check_nar_hash(narinfo.info, writer.blob_info)
    if content_check and not content_check.matches():
        raise IntegrityError(narinfo.info.path, got="other content", expected=f"that of {narinfo.address}")
    narfile.check_nar_file(extent)


def required_content_check(narinfo: NarInfo) -> ContentAddressCheck | None:
    """Return the check of the content address of ``narinfo``, None if the address need not be checked.

    Signatures do not cover the address. One that does not result in the name of the path is ignored; if the narinfo has
    a signature, that vouches for the path; an address that equals the NAR hash is checked with it.
    """
    if narinfo.signatures or not has_matching_address(narinfo):
        return None
    address = ContentAddress.parse(narinfo.address)
    return None if address.equals_nar_hash(narinfo.info) else ContentAddressCheck(address, narinfo.info)


REPAIR_HINT = "lamina store verify --repair --store URL mends what a binary cache has"
