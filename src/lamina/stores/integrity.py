"""Check NARs against path infos and content addresses."""

from __future__ import annotations

import os

from lamina.core.nodes import Extent
from lamina.core.pathinfo import PathInfo
from lamina.errors import FormatError, IntegrityError
from lamina.formats.content_address import ContentAddress, ContentAddressCheck, has_matching_address
from lamina.formats.narinfo import NarInfo
from lamina.stores.incoming import IncomingFile
from lamina.system import narfile
from lamina.system.transfer import BlobInfo, HashingWriter, copy


def check_incoming(known: NarInfo, incoming: IncomingFile, label: str) -> None:
    """Check the size, hash and structure of a received NAR against ``known``.

    Raises `IntegrityError`, and `FormatError` if it is not a NAR; ``label`` names the source in the message.
    """
    info, found = known.info, incoming.blob_info
    if found.size != info.nar_size:
        raise IntegrityError(f"{info.path} in {label}: got a NAR of {found.size} bytes, expected {info.nar_size}")
    if found.digest != info.nar_hash:
        raise IntegrityError(f"{info.path} in {label}: got a NAR with hash {found.digest}, expected {info.nar_hash}")
    try:
        narfile.check_nar_file(narfile.nar_extent(os.fsencode(incoming.path)))
    except FormatError as error:
        raise FormatError(f"{info.path} in {label}: {str(error).removeprefix(f'{incoming.path}: ')}") from error


def check_nar_hash(info: PathInfo, found: BlobInfo) -> None:
    """Raise `IntegrityError` if ``found``, the hash and size of a NAR, does not match ``info``."""
    if found.digest != info.nar_hash:
        raise IntegrityError(f"{info.path}: got NAR hash {found.digest}, expected {info.nar_hash}", hint=REPAIR_HINT)
    if found.size != info.nar_size:
        raise IntegrityError(
            f"{info.path}: got a NAR of {found.size} bytes, expected {info.nar_size}", hint=REPAIR_HINT
        )


def check_nar(found: NarInfo, extent: Extent) -> None:
    """Read the NAR at ``extent`` and check its size, hash and structure against ``found``.

    The content address is checked too if nothing else vouches for the path.
    Raises `IntegrityError`, `FormatError`, `Unavailable`.
    """
    content_check = required_content_check(found)
    writer = HashingWriter(content_check.feed if content_check else len)
    copy((extent,), writer)
    check_nar_hash(found.info, writer.blob_info)
    if content_check and not content_check.matches():
        raise IntegrityError(f"{found.info.path}: got other content, expected that of {found.address}")
    narfile.check_nar_file(extent)


def required_content_check(found: NarInfo) -> ContentAddressCheck | None:
    """Return the check of the content address of ``found``, None if the address need not be checked.

    Signatures do not cover the address. One that does not result in the name of the path is ignored; if the narinfo has
    a signature, that vouches for the path; an address that equals the NAR hash is checked with it.
    """
    if found.signatures or not has_matching_address(found):
        return None
    address = ContentAddress.parse(found.address)
    return None if address.equals_nar_hash(found.info) else ContentAddressCheck(address, found.info)


REPAIR_HINT = "lamina store verify --repair --store URL mends what a binary cache has"
