"""Checks of NARs against narinfos, and of content addresses."""

import hashlib
from dataclasses import replace

import pytest
from tests.support.factories import File, nodes

from lamina.core.callbacks import accept, ignore
from lamina.core.names import Digest
from lamina.core.pathinfo import PathInfo
from lamina.errors import IntegrityError
from lamina.formats import content_address, nar
from lamina.formats.content_address import ContentAddress
from lamina.formats.narinfo import NarInfo
from lamina.stores.integrity import ContentCheck, check_nar_hash
from lamina.system.transfer import BlobInfo


def nar_of(content: bytes) -> bytes:
    return b"".join(piece for piece in nar.dump(nodes(File(content))) if isinstance(piece, bytes))


NAR = nar_of(b"hi\n")
FLAT = ContentAddress("fixed", "sha1", hashlib.sha1(b"hi\n", usedforsecurity=False).digest())
WHOLE = ContentAddress(content_address.NAR, "sha256", hashlib.sha256(NAR).digest())


def narinfo_of(address: ContentAddress) -> NarInfo:
    """Return the narinfo of the path that ``address`` makes, whose NAR is `NAR`."""
    path = address.make_path("page", (), self_reference=False)
    info = PathInfo(path, Digest(hashlib.sha256(NAR).digest()), len(NAR), frozenset())
    return NarInfo(info, "x", "none", (), address=str(address))


def check(narinfo: NarInfo, data: bytes, *, is_vouched: bool) -> NarInfo:
    content_check = ContentCheck(narinfo, "the path", accept if is_vouched else ignore)
    for start in range(0, len(data), 7):
        content_check.feed(data[start : start + 7])
    return content_check.finish()


@pytest.mark.parametrize("address", [FLAT, WHOLE])
def test_a_right_address_is_kept(address: ContentAddress) -> None:
    narinfo = narinfo_of(address)
    assert check(narinfo, NAR, is_vouched=False) == narinfo


def test_a_wrong_address_is_an_error_unless_the_path_is_vouched_for() -> None:
    narinfo, other = narinfo_of(FLAT), nar_of(b"ho\n")
    assert check(narinfo, other, is_vouched=True) == replace(narinfo, address="")
    with pytest.raises(IntegrityError, match="the path: got other content, expected content that matches fixed:sha1:"):
        check(narinfo, other, is_vouched=False)


def test_an_address_of_another_path_is_dropped_without_a_look_at_the_content() -> None:
    narinfo = replace(narinfo_of(FLAT), address=str(WHOLE))
    assert check(narinfo, b"", is_vouched=False) == replace(narinfo, address="")


def test_a_nar_of_another_hash_or_size_is_damage() -> None:
    info = narinfo_of(WHOLE).info
    check_nar_hash(info, BlobInfo(info.nar_hash, len(NAR)))
    with pytest.raises(IntegrityError, match=f"{info.path}: got NAR hash sha256:0+, expected {info.nar_hash}"):
        check_nar_hash(info, BlobInfo(Digest(bytes(32)), len(NAR)))
    with pytest.raises(IntegrityError, match=f"{info.path}: got a NAR of 7 bytes, expected {len(NAR)}"):
        check_nar_hash(info, BlobInfo(info.nar_hash, 7))
