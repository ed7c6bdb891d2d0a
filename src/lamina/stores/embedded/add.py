"""Add a file or folder to the embedded store as a content-addressed store path.

The source is read twice, and a source that changes between the two readings raises `IntegrityError`.

Without references the path is the one that ``nix-store --add`` prints. A source named HASH-NAME is treated as a store
path: if its content contains HASH, that is a reference to itself, and is replaced by the hash of the new path (Nix
source, make-content-addressed).

Invariant: the path is the one that Nix computes for the same name, content and references.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from lamina.core.callbacks import ignore
from lamina.core.names import HASH_LENGTH, Digest, StorePath
from lamina.core.nodes import Extent
from lamina.core.pathinfo import PathInfo
from lamina.errors import InputError, IntegrityError, InvalidArgument, NotFound, StoreError
from lamina.formats import nar
from lamina.formats.content_address import ContentAddress, ModuloHash, Rewriter
from lamina.formats.hash_scanner import HashScanner
from lamina.formats.narinfo import NarInfo
from lamina.messages.redaction import short_repr
from lamina.stores.embedded.store import EmbeddedStore, nar_name
from lamina.stores.incoming import IncomingFile
from lamina.stores.integrity import check_incoming
from lamina.system.fd_writer import FunctionOutput
from lamina.system.file_names import parse_file_name
from lamina.system.transfer import OnBytes, copy
from lamina.system.walk import walk

_ANY_HASH = "0" * HASH_LENGTH


@dataclass(frozen=True, slots=True)
class NamedSource:
    """A source and the name of its store path. ``own_hash`` is the hash of a source named HASH-NAME, or empty."""

    source: Path
    name: str
    own_hash: str = ""

    @classmethod
    def parse(cls, text: str | os.PathLike[str], name: str | None) -> NamedSource:
        """Return the source at ``text`` with the name ``name``, or with its file name if ``name`` is None.

        Raises:
            InputError: There is no such file or folder.
            InvalidArgument: A store path cannot have that name.
        """
        file = parse_file_name("source", text, "the name of a file or folder")
        source = Path(file)
        if not file or not os.path.lexists(source):
            raise InputError(short_repr(file), "nothing there", "a file or folder to add")
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
            "name", short_repr(name), "up to 211 letters, digits and + - . _ ? =", hint="choose a name with --name NAME"
        ) from None


@dataclass(frozen=True, slots=True)
class AddedContent:
    """The content of a source.

    ``digest`` is the hash of its NAR, modulo its own hash. ``self_reference`` says whether it contains its own hash.
    ``hashes`` are the other store path hashes that it contains.
    """

    named: NamedSource
    digest: Digest
    self_reference: bool
    hashes: frozenset[str]

    @classmethod
    def read(cls, named: NamedSource, hashes: Iterable[str], on_bytes: OnBytes = ignore) -> AddedContent:
        """Read the source once and search it for ``hashes``; call ``on_bytes`` with the size of each portion.

        Raises:
            FormatError: The source contains a socket, a device or a pipe.
            InputError: The source is missing, or cannot be read.
            IntegrityError: A file changed while it was read.
        """
        scanner = HashScanner({*hashes, named.own_hash} - {""})
        try:
            digest = _hash_source(named, scanner.feed, on_bytes)
        except StoreError as error:  # `walk` raises errors meant for store paths
            raise error.convert(InputError) from error
        return cls(named, digest, named.own_hash in scanner.found, frozenset(scanner.found - {named.own_hash}))


def add_content(
    store: EmbeddedStore, content: AddedContent, references: Collection[StorePath], on_bytes: OnBytes = ignore
) -> NarInfo:
    """Add ``content`` to ``store`` unless it is there already, and return its narinfo.

    Args:
        store: The store to add to.
        content: The result of reading the source.
        references: The references other than the path itself. They must be valid in ``store``.
        on_bytes: Called with the size of each portion of the second reading; not called if the path is there already.

    Raises:
        IntegrityError: The source has changed since it was read.
        FormatError: The folders are nested more deeply than a NAR allows.
        OutputError: The store cannot be written.
    """
    address = ContentAddress.nar(content.digest)
    path = address.make_path(content.named.name, references, content.self_reference)
    store.locks.hold_shared()
    narinfo = store.narinfo(path)
    if narinfo and store.contains_nar(narinfo.info.nar_hash, narinfo.info.nar_size):
        return narinfo
    with store.create_incoming() as incoming:
        _write(content, path, incoming, on_bytes)
        nar = incoming.blob_info
        self_reference = (path,) if content.self_reference else ()
        info = PathInfo(path, nar.digest, nar.size, frozenset((*references, *self_reference)))
        narinfo = NarInfo(info, nar_name(nar.digest), "none", (), address=str(address))
        check_incoming(narinfo, incoming, str(content.named.source))
        store.commit_nar(incoming)
    return store.publish(narinfo)


def _write(content: AddedContent, path: StorePath, incoming: IncomingFile, on_bytes: OnBytes) -> None:
    """Read the source again, and write it with the hash of ``path`` in place of its own hash."""
    named = content.named
    try:
        if content.self_reference:
            rewriter = Rewriter(named.own_hash.encode(), path.hash.encode())
            digest = _hash_source(named, lambda data: incoming.write(rewriter.feed(data)), on_bytes)
            incoming.write(rewriter.close())
        else:
            digest = _hash_source(named, incoming.write, on_bytes)
    except NotFound as error:
        raise IntegrityError(named.source, "nothing there", "the file or folder that was just read") from error
    if digest != content.digest:
        raise IntegrityError(named.source, "content that changed while it was added", "unchanged content")


def measure_source(named: NamedSource) -> int:
    """Return the size of the source's NAR in bytes, without reading a file. Raises what `AddedContent.read` raises."""
    try:
        pieces = nar.dump(walk(os.fsencode(named.source)))
        return sum(piece.length if isinstance(piece, Extent) else len(piece) for piece in pieces)
    except StoreError as error:
        raise error.convert(InputError) from error


def _hash_source(named: NamedSource, write: Callable[[memoryview], object], on_bytes: OnBytes) -> Digest:
    """Pass the NAR of the source to ``write``; return its hash, modulo the hash of the source itself."""
    modulo, plain = ModuloHash(named.own_hash or _ANY_HASH), hashlib.sha256()
    feed = modulo.feed if named.own_hash else plain.update

    def feed_and_write(data: memoryview) -> None:
        feed(data)
        write(data)

    copy(nar.dump(walk(os.fsencode(named.source))), FunctionOutput(feed_and_write), on_bytes)
    return Digest(modulo.digest() if named.own_hash else plain.digest())
