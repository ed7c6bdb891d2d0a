"""Whether a NAR is what its path info and its content address say."""

from __future__ import annotations

import os

from lamina.core.nodes import Extent
from lamina.core.pathinfo import PathInfo
from lamina.errors import FormatError, IntegrityError
from lamina.formats.address import Address, Evidence, claims
from lamina.formats.narinfo import NarInfo
from lamina.stores.incoming import Arrival
from lamina.system import narfile
from lamina.system.transfer import Measure, Tally, copy


def check_arrival(known: NarInfo, arrival: Arrival, where: str) -> None:
    """Holds what arrived to what ``known`` says of it. Raises `IntegrityError`, `FormatError` for what is no NAR."""
    info, found = known.info, arrival.measure
    if found.size != info.nar_size:
        raise IntegrityError(f"{info.path} in {where}: got a NAR of {found.size} bytes, expected {info.nar_size}")
    if found.digest != info.nar_hash:
        raise IntegrityError(f"{info.path} in {where}: got a NAR with hash {found.digest}, expected {info.nar_hash}")
    try:
        narfile.check(narfile.archive(os.fsencode(arrival.path)))
    except FormatError as error:
        raise FormatError(f"{info.path} in {where}: {str(error).removeprefix(f'{arrival.path}: ')}") from error


def check(info: PathInfo, found: Measure) -> None:
    """Raises `IntegrityError` where ``found`` is not the NAR of ``info``."""
    if found.digest != info.nar_hash:
        raise IntegrityError(f"{info.path}: got NAR hash {found.digest}, expected {info.nar_hash}", hint=REPAIR)
    if found.size != info.nar_size:
        raise IntegrityError(f"{info.path}: got a NAR of {found.size} bytes, expected {info.nar_size}", hint=REPAIR)


def check_nar(found: NarInfo, place: Extent) -> None:
    """Read the NAR at ``place`` and compare size, hash and form with ``found``, and the content address where nothing
    else vouches for the path.

    Raises `IntegrityError`, `FormatError`, `Unavailable`.
    """
    evidence = required_content_check(found)
    tally = Tally(evidence.feed if evidence else len)
    copy((place,), tally)
    check(found.info, tally.measure)
    if evidence and not evidence.holds():
        raise IntegrityError(f"{found.info.path}: got other content, expected that of {found.address}")
    narfile.check(place)


def required_content_check(found: NarInfo) -> Evidence | None:
    """What has to see the content for its address, None where the address says nothing that has to be true.

    It is signed by nobody: one that does not make the path is no address of it, and where the narinfo has a signature,
    that vouches for the path.
    """
    if found.signatures or not claims(found):
        return None
    address = Address.parse(found.address)
    return None if address.hashes_nar(found.info) else Evidence(address, found.info)


REPAIR = "lamina store verify --repair --store URL mends what a binary cache has"
