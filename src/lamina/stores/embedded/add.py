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
from lamina.errors import IntegrityError, InvalidName, NotFound, shown
from lamina.formats import nar
from lamina.formats.address import Address, ModuloHash, Rewriter
from lamina.formats.narinfo import NarInfo
from lamina.formats.references import References
from lamina.stores.embedded.store import EmbeddedStore, nar_name
from lamina.stores.incoming import Arrival
from lamina.stores.integrity import check_arrival
from lamina.system.transfer import copy
from lamina.system.walk import walk

_ANY_HASH = "0" * HASH_LENGTH


@dataclass(frozen=True, slots=True)
class Named:
    """Where something is and what it is to be called; ``own`` is the hash that it has as a store path, or empty."""

    source: Path
    name: str
    own: str = ""

    @classmethod
    def parse(cls, text: str | os.PathLike[str], name: str | None) -> Named:
        """What lies at ``text``, under ``name``, None for its own. Raises `NotFound`, `InvalidName` for what no store
        path is called.
        """
        source = Path(text)
        if not os.fspath(text) or not os.path.lexists(source):
            raise NotFound(f"{shown(os.fspath(text))}: got nothing there, expected a file or folder to add")
        base = os.path.basename(os.path.abspath(source))
        try:
            path = StorePath.parse_base(base)
        except InvalidName:
            return cls(source, _checked(name or base))
        return cls(source, _checked(name or path.name), path.hash)


def _checked(name: str) -> str:
    try:
        return StorePath.parse_base(f"{_ANY_HASH}-{name}").name
    except InvalidName:
        raise InvalidName(
            f"name: got {shown(name)}, expected up to 211 letters, digits and + - . _ ? =",
            hint="--name NAME is another one",
        ) from None


@dataclass(frozen=True, slots=True)
class Content:
    """What was found at a source: its NAR's hash, modulo its own where it holds that (``itself``), and which other
    hashes of store paths are in it.
    """

    named: Named
    digest: Digest
    itself: bool
    hashes: frozenset[str]

    @classmethod
    def read(cls, named: Named, hashes: Iterable[str]) -> Content:
        """Reads it once, looking for ``hashes``. Raises `FormatError` for a socket, a device or a pipe in it,
        `Unavailable` for what cannot be read, `IntegrityError` for what changes meanwhile.
        """
        mentioned = References({*hashes, named.own} - {""})
        digest = _hashed(named, mentioned.feed)
        return cls(named, digest, named.own in mentioned.found, frozenset(mentioned.found - {named.own}))


def add(store: EmbeddedStore, content: Content, references: Collection[StorePath]) -> NarInfo:
    """Makes ``content`` valid in ``store``, where its other ``references`` are valid; nothing happens where it is.

    Raises `IntegrityError` where it is not what was read before, `FormatError` for more folders in each other than a
    NAR may have, `OutputError`.
    """
    address = Address.nar(content.digest)
    path = address.path(content.named.name, references, content.itself)
    store.locks.use()
    with store.locks.fetching(path):
        known = store.narinfo(path)
        if known and store.holds(known.info.nar_hash, known.info.nar_size):
            return known
        with store.arrival() as arrival:
            _write(content, path, arrival)
            found = arrival.measure
            itself = (path,) if content.itself else ()
            info = PathInfo(path, found.digest, found.size, frozenset((*references, *itself)))
            known = NarInfo(info, nar_name(found.digest), "none", (), address=str(address))
            check_arrival(known, arrival, str(content.named.source))
            arrival.keep(known.url)
        return store.publish(known)


def _write(content: Content, path: StorePath, arrival: Arrival) -> None:
    """Reads the source again, and writes it with the path's hash in place of its own."""
    named = content.named
    try:
        if content.itself:
            rewriter = Rewriter(named.own.encode(), path.hash.encode())
            digest = _hashed(named, lambda data: arrival.write(rewriter.feed(data)))
            arrival.write(rewriter.close())
        else:
            digest = _hashed(named, arrival.write)
    except NotFound as error:
        raise IntegrityError(f"{named.source}: got nothing there, expected what was there a moment ago") from error
    if digest != content.digest:
        raise IntegrityError(f"{named.source}: got other content than a moment ago, expected the same")


def _hashed(named: Named, write: Callable[[memoryview], object]) -> Digest:
    """The hash of the source's NAR, modulo its own; all of the NAR is written."""
    modulo, plain = ModuloHash(named.own or _ANY_HASH), hashlib.sha256()
    feed = modulo.feed if named.own else plain.update

    def passed(data: memoryview) -> None:
        feed(data)
        write(data)

    copy(nar.dump(walk(os.fsencode(named.source))), passed)
    return Digest(modulo.digest() if named.own else plain.digest())
