"""A file or folder of one's own as a store path that is called by its content.

Invariant: the path is the one that Nix computes for such a name, content and references; what goes into the store is
what was looked at: a source that changes between the two readings ends in `IntegrityError`.

Without references that is what ``nix-store --add`` says. A source that is itself called HASH-NAME is a store path: its
hash, where that is in it, stands for the path and becomes the new one (Nix source, make-content-addressed).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from lamina.core.names import HASH_LENGTH, Digest, StorePath
from lamina.core.pathinfo import PathInfo
from lamina.errors import IntegrityError, InvalidArgument, NotFound
from lamina.formats import nar
from lamina.formats.content_address import ContentAddress, ModuloHash, Rewriter
from lamina.formats.hash_scanner import HashScanner
from lamina.formats.narinfo import NarInfo
from lamina.messages.redaction import short_repr
from lamina.stores.embedded.store import EmbeddedStore, nar_name
from lamina.stores.incoming import IncomingFile
from lamina.stores.integrity import check_incoming
from lamina.system.transfer import copy
from lamina.system.walk import walk

_ANY_HASH = "0" * HASH_LENGTH


@dataclass(frozen=True, slots=True)
class NamedSource:
    """Where something is and what to call it; ``own_hash`` is the hash that it has as a store path, or empty."""

    source: Path
    name: str
    own_hash: str = ""

    @classmethod
    def parse(cls, text: str | os.PathLike[str], name: str | None) -> NamedSource:
        """What lies at ``text``, under ``name``, None for its own. Raises `NotFound`, `InvalidArgument` for what no
        store path is called.
        """
        source = Path(text)
        if not os.fspath(text) or not os.path.lexists(source):
            raise NotFound(f"{short_repr(os.fspath(text))}: got nothing there, expected a file or folder to add")
        base = os.path.basename(os.path.abspath(source))
        try:
            path = StorePath.parse_base(base)
        except InvalidArgument:
            return cls(source, _check_name(name or base))
        return cls(source, _check_name(name or path.name), path.hash)


def _check_name(name: str) -> str:
    try:
        return StorePath.parse_base(f"{_ANY_HASH}-{name}").name
    except InvalidArgument:
        raise InvalidArgument(
            f"name: got {short_repr(name)}, expected up to 211 letters, digits and + - . _ ? =",
            hint="--name NAME is another one",
        ) from None


@dataclass(frozen=True, slots=True)
class AddedContent:
    """What was found at a source: its NAR's hash, modulo its own where it holds that (``self_reference``), and which
    other hashes of store paths are in it.
    """

    named: NamedSource
    digest: Digest
    self_reference: bool
    hashes: frozenset[str]

    @classmethod
    def read(cls, named: NamedSource, hashes: Iterable[str]) -> AddedContent:
        """Reads it once, looking for ``hashes``. Raises `FormatError` for a socket, a device or a pipe in it,
        `Unavailable` for what cannot be read, `IntegrityError` for what changes meanwhile.
        """
        mentioned = HashScanner({*hashes, named.own_hash} - {""})
        digest = _hash_source(named, mentioned.feed)
        return cls(named, digest, named.own_hash in mentioned.found, frozenset(mentioned.found - {named.own_hash}))


def add_content(store: EmbeddedStore, content: AddedContent, references: Collection[StorePath]) -> NarInfo:
    """Makes ``content`` valid in ``store``, where its other ``references`` are valid; nothing happens where it is.

    Raises `IntegrityError` where it is not what was read before, `FormatError` for more folders in each other than a
    NAR may have, `OutputError`.
    """
    address = ContentAddress.nar(content.digest)
    path = address.path(content.named.name, references, content.self_reference)
    store.locks.hold_shared()
    with store.locks.lock_path(path):
        known = store.narinfo(path)
        if known and store.contains_nar(known.info.nar_hash, known.info.nar_size):
            return known
        with store.incoming() as incoming:
            _write(content, path, incoming)
            found = incoming.blob_info
            self_reference = (path,) if content.self_reference else ()
            info = PathInfo(path, found.digest, found.size, frozenset((*references, *self_reference)))
            known = NarInfo(info, nar_name(found.digest), "none", (), address=str(address))
            check_incoming(known, incoming, str(content.named.source))
            incoming.commit(known.url)
        return store.publish(known)


def _write(content: AddedContent, path: StorePath, incoming: IncomingFile) -> None:
    """Reads the source again, and writes it with the path's hash in place of its own."""
    named = content.named
    try:
        if content.self_reference:
            rewriter = Rewriter(named.own_hash.encode(), path.hash.encode())
            digest = _hash_source(named, lambda data: incoming.write(rewriter.feed(data)))
            incoming.write(rewriter.close())
        else:
            digest = _hash_source(named, incoming.write)
    except NotFound as error:
        raise IntegrityError(f"{named.source}: got nothing there, expected what was there a moment ago") from error
    if digest != content.digest:
        raise IntegrityError(f"{named.source}: got other content than a moment ago, expected the same")


def _hash_source(named: NamedSource, write: Callable[[memoryview], object]) -> Digest:
    """The hash of the source's NAR, modulo its own; all of the NAR is written."""
    modulo, plain = ModuloHash(named.own_hash or _ANY_HASH), hashlib.sha256()
    feed = modulo.feed if named.own_hash else plain.update

    def passed(data: memoryview) -> None:
        feed(data)
        write(data)

    copy(nar.dump(walk(os.fsencode(named.source))), passed)
    return Digest(modulo.digest() if named.own_hash else plain.digest())
