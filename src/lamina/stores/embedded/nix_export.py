"""Store paths out of a store and into the embedded one, as ``nix-store --export`` writes them.

Invariant: what comes in is valid once its NAR was hashed to its end and all that it refers to was valid before; a
stream that breaks leaves the paths that came whole, and nothing else. What the stream says of references is the word
of who made it: nothing in it is signed.

The format: `lamina.formats.nix_export`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lamina.core.closure import Closure
from lamina.core.pathinfo import PathInfo
from lamina.errors import NotFound
from lamina.formats import nix_export
from lamina.formats.content_address import ContentAddress
from lamina.formats.narinfo import NarInfo
from lamina.formats.nix_export import END, NEXT, ExportedPath
from lamina.stores.closure_source import ClosureSource
from lamina.stores.embedded.store import EmbeddedStore, nar_name
from lamina.stores.incoming import IncomingFile
from lamina.system.transfer import Write


def write_export(closure_source: ClosureSource, closure: Closure, write: Write) -> None:
    """Writes all of ``closure``, references first, to ``write``.

    Raises `IntegrityError` for a path that is not what it is said to be; the export ends before it is one then.
    """
    for info in closure.bottom_up:
        write(memoryview(NEXT))
        closure_source.copy(info, write)
        deriver = closure_source.narinfo(info).deriver
        write(memoryview(ExportedPath(info.path, info.references, deriver).dump()))
    write(memoryview(END))


@dataclass(frozen=True, slots=True)
class ImportedPath:
    """A path that came in. ``is_new`` says whether it was not valid before; such as was valid stays as it was."""

    info: PathInfo
    is_new: bool


def read_export(store: EmbeddedStore, read: Callable[[int], bytes]) -> Iterator[ImportedPath]:
    """Takes in what comes, path by path, each valid when it is given; ``read(size)`` gives up to so many bytes.

    Reads nothing behind the end of the export. Raises `FormatError`, `NotFound` for a path that refers to what is
    neither in the store nor came before it, `OutputError`.
    """
    landing = _NarReceiver()
    paths = nix_export.parse(read, landing.write)
    while True:
        with store.incoming() as incoming:
            landing.incoming = incoming
            found = next(paths, None)
            if found is None:
                return
            imported = _import_path(store, found, incoming)
        yield imported


class _NarReceiver:
    """Where the NAR that comes next goes."""

    incoming: IncomingFile

    def write(self, data: bytes) -> None:
        self.incoming.write(data)


def _import_path(store: EmbeddedStore, found: ExportedPath, incoming: IncomingFile) -> ImportedPath:
    blob_info = incoming.blob_info
    info = PathInfo(found.path, blob_info.digest, blob_info.size, found.references)
    _check_references(store, info)
    there = store.narinfo(found.path)
    if there and there.info.nar_hash != info.nar_hash:
        return ImportedPath(there.info, is_new=False)
    # Also over one that is there: its content may be damaged, this one's is not.
    incoming.commit(nar_name(info.nar_hash))
    if there:
        return ImportedPath(there.info, is_new=False)
    address = ContentAddress.nar(info.nar_hash)
    # No export tells of content addresses; this kind is told by the path.
    is_addressed = found.path not in found.references and address.matches(info)
    store.publish(NarInfo(info, "", "none", (), deriver=found.deriver, address=str(address) if is_addressed else ""))
    return ImportedPath(info, is_new=True)


def _check_references(store: EmbeddedStore, info: PathInfo) -> None:
    for reference in sorted(info.references - {info.path}):
        if store.narinfo(reference) is None:
            raise NotFound(
                f"export of {info.path}: got a reference to {reference}, expected that in the store or before it",
                hint="export whole closures: nix-store --export $(nix-store --query --requisites PATH)",
            )
