"""Write store paths in the format of ``nix-store --export``, and import them into the embedded store.

The format is described in `lamina.formats.nix_export`. It has no signatures, so the references in it are trusted.

Invariant: an imported path becomes valid only after its whole NAR was hashed and all its references are valid. If the
stream ends early, only the paths that arrived completely stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lamina.core.closure import Closure
from lamina.core.pathinfo import PathInfo
from lamina.core.progress import COPIED, Progress
from lamina.errors import NotFound
from lamina.formats import nix_export
from lamina.formats.content_address import ContentAddress
from lamina.formats.narinfo import NarInfo
from lamina.formats.nix_export import END, NEXT, ExportedPath
from lamina.stores.embedded.store import EmbeddedStore
from lamina.stores.incoming import IncomingFile
from lamina.stores.nars import copy_nar, find_narinfo
from lamina.stores.path_progress import PathProgress
from lamina.stores.store import Store
from lamina.system.transfer import Write


def write_export(store: Store, closure: Closure, write: Write, progress: Progress | None = None) -> None:
    """Pass an export of ``closure`` in ``store``, references first, to ``write``, and report it to ``progress``.

    Raises `IntegrityError` for a path whose NAR does not match its path info; the export is incomplete then.
    """
    sizes = {info.path: info.nar_size for info in closure.bottom_up}
    reported = PathProgress(progress, f"Exporting {len(sizes)} store paths", sizes)
    for info in closure.bottom_up:
        write(memoryview(NEXT))
        copy_nar(store, info, reported.start(info.path, write))
        deriver = find_narinfo(store, info).deriver
        write(memoryview(ExportedPath(info.path, info.references, deriver).dump()))
        reported.finish(info.path, COPIED)
    write(memoryview(END))
    reported.done()


@dataclass(frozen=True, slots=True)
class ImportedPath:
    """A path that was imported into the embedded store.

    Attributes:
        info: its path info.
        is_new: whether it was not valid before. If it was, its path info stays unchanged.
    """

    info: PathInfo
    is_new: bool


def read_export(store: EmbeddedStore, read: Callable[[int], bytes]) -> Iterator[ImportedPath]:
    """Import an export into ``store`` and yield each path once it is valid.

    Args:
        store: The store to import into.
        read: Returns up to the requested number of bytes. Nothing after the end of the export is read.

    Raises:
        FormatError: The stream is not an export.
        NotFound: A path has a reference that is neither in the store nor earlier in the export.
        OutputError: The store cannot be written.
    """

    def write(data: bytes) -> None:
        incoming.write(data)  # to the file of the current path

    paths = nix_export.parse(read, write)
    while True:
        with store.create_incoming() as incoming:
            exported = next(paths, None)
            if exported is None:
                return
            imported = _import_path(store, exported, incoming)
        yield imported


def _import_path(store: EmbeddedStore, exported: ExportedPath, incoming: IncomingFile) -> ImportedPath:
    blob_info = incoming.blob_info
    info = PathInfo(exported.path, blob_info.digest, blob_info.size, exported.references)
    _check_references(store, info)
    existing = store.narinfo(exported.path)
    if existing and existing.info.nar_hash != info.nar_hash:
        return ImportedPath(existing.info, is_new=False)
    store.commit_nar(incoming)
    if existing:
        return ImportedPath(existing.info, is_new=False)
    address = ContentAddress.nar(info.nar_hash)
    # The format does not contain content addresses; whether a path is addressed by its NAR hash shows in its name.
    is_addressed = exported.path not in exported.references and address.matches(info)
    store.publish(NarInfo(info, "", "none", (), deriver=exported.deriver, address=str(address) if is_addressed else ""))
    return ImportedPath(info, is_new=True)


def _check_references(store: EmbeddedStore, info: PathInfo) -> None:
    for reference in sorted(info.references - {info.path}):
        if store.narinfo(reference) is None:
            raise NotFound(
                f"export of {info.path}",
                f"a reference to {reference}",
                "that path in the store or earlier in the export",
                hint="export whole closures: nix-store --export $(nix-store --query --requisites PATH)",
            )
