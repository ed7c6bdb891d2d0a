"""Whether a NAR is what its path info and its content address say."""

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
    """Holds what arrived to what ``known`` says of it. Raises `IntegrityError`, `FormatError` for what is no NAR."""
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
    """Raises `IntegrityError` where ``found`` is not the NAR of ``info``."""
    if found.digest != info.nar_hash:
        raise IntegrityError(f"{info.path}: got NAR hash {found.digest}, expected {info.nar_hash}", hint=REPAIR_HINT)
    if found.size != info.nar_size:
        raise IntegrityError(
            f"{info.path}: got a NAR of {found.size} bytes, expected {info.nar_size}", hint=REPAIR_HINT
        )


def check_nar(found: NarInfo, extent: Extent) -> None:
    """Read the NAR at ``extent`` and compare size, hash and form with ``found``, and the content address where nothing
    else vouches for the path.

    Raises `IntegrityError`, `FormatError`, `Unavailable`.
    """
    evidence = required_content_check(found)
    tally = HashingWriter(evidence.feed if evidence else len)
    copy((extent,), tally)
    check_nar_hash(found.info, tally.blob_info)
    if evidence and not evidence.matches():
        raise IntegrityError(f"{found.info.path}: got other content, expected that of {found.address}")
    narfile.check_nar_file(extent)


def required_content_check(found: NarInfo) -> ContentAddressCheck | None:
    """What has to see the content for its address, None where the address says nothing that has to be true.

    It is signed by nobody: one that does not make the path is no address of it, and where the narinfo has a signature,
    that vouches for the path.
    """
    if found.signatures or not has_matching_address(found):
        return None
    address = ContentAddress.parse(found.address)
    return None if address.equals_nar_hash(found.info) else ContentAddressCheck(address, found.info)


REPAIR_HINT = "lamina store verify --repair --store URL mends what a binary cache has"
