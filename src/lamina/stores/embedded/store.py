"""The embedded store: a folder that lamina maintains itself and that is a binary cache of uncompressed NARs.

A NAR is written before its narinfo, both are moved into place by renaming, and neither is changed afterwards. Nix can
therefore copy from the folder, and any web server can serve it.

    nix-cache-info     HASH.narinfo     nar/NARHASH.nar     .lamina/ (locks, and NARs that are being received)

NARs are not unpacked: the files of a store path are ranges of one NAR file, so none of its file names, modes or links
is ever created on this machine.

Invariant: every NAR that a narinfo in the folder names is complete.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Self

from lamina.core.name_match import match_paths
from lamina.core.names import HASH_LENGTH, Digest, StorePath, dump_nix32
from lamina.core.nodes import Extent, Node
from lamina.core.pathinfo import PathInfo
from lamina.errors import FormatError, IntegrityError, NotFound, Unavailable, output_error
from lamina.formats import narinfo
from lamina.formats.cache_info import FILE_NAME as CACHE_INFO
from lamina.formats.cache_info import CacheInfo, check_cache_info
from lamina.formats.narinfo import NarInfo
from lamina.stores.embedded.locks import Locks
from lamina.stores.incoming import PRIVATE, IncomingFile, write_file
from lamina.stores.integrity import REPAIR_HINT
from lamina.stores.store import PathResult, Store
from lamina.system import narfile
from lamina.system.documents import check_file
from lamina.system.transfer import BlobInfo, hash_pieces
from lamina.transports.urls import check_file_name

_SUFFIX = ".narinfo"
_NARS = "nar"
_PIECE = 1 << 18
_MAX_CACHE_INFO = 1 << 16
_INFO = CacheInfo(want_mass_query=True, priority=30)


class EmbeddedStore(Store):
    """The store in ``folder``; opening it raises `Unavailable` if the folder is not a store."""

    has_index = True
    is_binary_cache = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._infos: dict[StorePath, NarInfo] = {}
        self.locks: Locks = Locks(folder / PRIVATE)
        self._check()

    @classmethod
    def open_or_create(cls, folder: Path) -> Self:
        """Open the store in ``folder``, and create an empty store first if the folder is empty or missing.

        Raises:
            Unavailable: The folder contains something else.
            OutputError: No store can be created there.
        """
        if not is_store(folder):
            if not may_become_store(folder):
                raise Unavailable(f"store {folder}", "something else", "an empty folder or an embedded store")
            write_file(folder, CACHE_INFO, _INFO.dump().encode())
        return cls(folder)

    @classmethod
    @contextlib.contextmanager
    def open_for_writing(cls, folder: Path) -> Iterator[Self]:
        """Open or create the store for the block; remove a new store if the block fails before it adds a path.

        Raises what `open_or_create` raises.
        """
        was_there, was_store = os.path.lexists(folder), is_store(folder)
        store = cls.open_or_create(folder)
        try:
            with store:
                yield store
        except BaseException:
            if not was_store and not os.path.exists(folder / _NARS):
                store.remove_empty(keep_folder=was_there)
            raise

    def remove_empty(self, *, keep_folder: bool) -> None:
        """Remove a store to which no path has been added yet."""
        with contextlib.suppress(OSError):
            (self.folder / CACHE_INFO).unlink()
            shutil.rmtree(self.folder / PRIVATE)
            if not keep_folder:
                self.folder.rmdir()

    def close(self) -> None:
        """Release the lock, so that other processes can remove paths."""
        self.locks.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check(self) -> None:
        try:
            check_file(
                self.folder / CACHE_INFO, f"{self.folder}/{CACHE_INFO}", "an embedded store", limit=_MAX_CACHE_INFO
            )
            check_cache_info((self.folder / CACHE_INFO).read_bytes(), f"store {self.folder}")
        except FileNotFoundError as error:
            raise Unavailable(
                f"store {self.folder}",
                "none there",
                "an embedded store",
                hint="lamina store fetch, add and import make one",
            ) from error
        except OSError as error:
            raise Unavailable(
                f"store {self.folder}", f"{error.strerror} for {CACHE_INFO}", "an embedded store"
            ) from error

    # --- reading

    def narinfo(self, path: StorePath) -> NarInfo | None:
        """Return the narinfo of ``path``, or None if it is not valid here. Raises `FormatError`, `Unavailable`."""
        if path not in self._infos:
            stored = self.read_narinfo(path.hash)
            if stored is None or stored.info.path != path:
                return None
            self._infos[path] = stored
        return self._infos[path]

    def query_each(self, paths: Collection[StorePath]) -> Iterator[tuple[StorePath, PathResult]]:
        """Yield each of ``paths`` with its path info, with the error if its narinfo is invalid, or with None."""
        for path in paths:
            try:
                narinfo = self.narinfo(path)
            except (FormatError, Unavailable) as error:
                yield path, error
            else:
                yield path, narinfo.info if narinfo else None

    def query(self, paths: Collection[StorePath]) -> Mapping[StorePath, PathInfo]:
        """Return the path infos of those of ``paths`` that are valid."""
        narinfos = ((path, self.narinfo(path)) for path in paths)
        return {path: narinfo.info for path, narinfo in narinfos if narinfo}

    def location(self, path: StorePath) -> Extent:
        """Return the NAR of ``path``. Raises `NotFound`; `IntegrityError` if its file is missing or of another size."""
        narinfo = self.narinfo(path)
        if narinfo is None:
            raise NotFound(path, f"no such valid path in {self.folder}", "one")
        return self.nar_extent(narinfo)

    def received_nar(self, narinfo: NarInfo) -> Extent:
        """Return the NAR of ``narinfo``, which was received and may not be valid yet. Raises what `location` raises."""
        return self.nar_extent(_relocate(narinfo))

    def nar_extent(self, narinfo: NarInfo) -> Extent:
        """Return the NAR file that ``narinfo`` names. Raises what `location` raises."""
        if narinfo.compression != "none":
            raise Unavailable(
                self.folder / narinfo.url,
                f"a NAR compressed with {narinfo.compression}",
                "an uncompressed NAR",
                hint=f"use the folder as a binary cache: --store file://{self.folder.absolute()}",
            )
        self.locks.hold_shared()
        file = self.file(narinfo)
        try:
            extent = narfile.nar_extent(os.fsencode(file))
        except IntegrityError as error:
            error.add_context(narinfo.info.path).add_hint(REPAIR_HINT)
            raise
        if extent.length != narinfo.info.nar_size:
            raise IntegrityError(file, f"{extent.length} bytes", narinfo.info.nar_size, hint=REPAIR_HINT)
        return extent

    def has_nar(self, narinfo: NarInfo) -> bool:
        """Return whether the file that `nar_extent` would read exists and has the size of the NAR of ``narinfo``."""
        try:
            return narinfo.compression == "none" and self.file(narinfo).stat().st_size == narinfo.info.nar_size
        except (OSError, FormatError):
            return False

    def file(self, narinfo: NarInfo) -> Path:
        """Return the NAR file that ``narinfo`` names. Raises `FormatError` for a URL that leads out of the store."""
        return self.folder / check_file_name(str(self.folder), narinfo.file_name)

    def stream_nar(self, narinfo: NarInfo) -> Iterator[bytes]:
        """Yield the NAR of ``narinfo``, which must be here, in pieces of at most 256 KiB. Raises `Unavailable`."""
        file = self.folder / nar_name(narinfo.info.nar_hash)
        try:
            with file.open("rb", buffering=0) as opened:
                while piece := opened.read(_PIECE):
                    yield piece
        except OSError as error:
            raise self._make_error(file, error) from error

    def nodes(self, path: StorePath) -> Iterable[Node]:
        """Return the nodes of ``path``. Raises what `location` raises."""
        return narfile.read_nodes(self.location(path))

    def find(self, name: str) -> tuple[StorePath, ...]:
        """Return the valid paths that ``name`` may mean (`lamina.core.name_match`); skip invalid narinfos."""
        return match_paths(self._iter_paths(), name)

    def names(self) -> Collection[str]:
        """Return the names of all valid paths; skip invalid narinfos."""
        return {path.name for path in self._iter_paths()}

    def _iter_paths(self) -> Iterator[StorePath]:
        for hash_part in self.hashes():
            with contextlib.suppress(FormatError):
                yield from self.with_hashes([hash_part])

    def hashes(self) -> Collection[str]:
        """Return the hashes of all valid paths."""
        self.locks.hold_shared()
        try:
            with os.scandir(self.folder) as entries:
                names = [entry.name for entry in entries]
        except OSError as error:
            raise self._make_error(self.folder, error) from error
        return {name[:HASH_LENGTH] for name in names if name[HASH_LENGTH:] == _SUFFIX}

    def with_hashes(self, hashes: Collection[str]) -> tuple[StorePath, ...]:
        """Return the valid paths that begin with one of ``hashes``, ascending. Raises what `read_narinfo` raises."""
        narinfos = ((hash_part, self.read_narinfo(hash_part)) for hash_part in hashes)
        # A narinfo whose file name has the hash of another path does not count; `lamina store verify` reports it.
        return tuple(
            sorted(
                narinfo.info.path for hash_part, narinfo in narinfos if narinfo and narinfo.info.path.hash == hash_part
            )
        )

    def narinfos(self) -> list[NarInfo]:
        """Return the narinfos of all valid paths, ordered by path. Raises `FormatError` for an invalid narinfo."""
        narinfos = (self.read_narinfo(hash_part) for hash_part in sorted(self.hashes()))
        return sorted((narinfo for narinfo in narinfos if narinfo), key=lambda narinfo: narinfo.info.path)

    def read_narinfo(self, hash_part: str) -> NarInfo | None:
        """Read the narinfo file of ``hash_part`` from disk; return None if there is no such file.

        The narinfo may be that of another path. Raises `FormatError` for an invalid narinfo, `Unavailable`.
        """
        # The lock is taken before the first read, so that nothing found can be collected before its NAR is read.
        self.locks.hold_shared()
        file = self.folder / f"{hash_part}{_SUFFIX}"
        try:
            with file.open("rb") as opened:
                data = opened.read(narinfo.MAX_SIZE + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._make_error(file, error) from error
        try:
            return narinfo.parse_bytes(data)
        except FormatError as error:
            error.add_context(file).add_hint(REPAIR_HINT)
            raise

    # --- writing

    def create_incoming(self) -> IncomingFile:
        """Create the file for a NAR that will be received; a context manager. Raises `OutputError`."""
        self.locks.hold_shared()
        return IncomingFile(self.folder)

    def contains_nar(self, nar_hash: Digest, nar_size: int) -> bool:
        """Return whether the store has a NAR file of that hash and size.

        It may belong to a valid path, or to a path that had not become valid when a process was stopped.
        """
        try:
            return (self.folder / nar_name(nar_hash)).stat().st_size == nar_size
        except OSError:
            return False

    def commit_nar(self, incoming: IncomingFile) -> None:
        """Move a received NAR into the store, unless an intact one is there, which others may be reading.

        Raises `OutputError`.
        """
        nar = incoming.blob_info
        with self.locks.lock_nar(nar.digest):
            if not self._has_intact_nar(nar):
                incoming.commit(nar_name(nar.digest))

    def _has_intact_nar(self, nar: BlobInfo) -> bool:
        if not self.contains_nar(nar.digest, nar.size):
            return False
        file = self.folder / nar_name(nar.digest)
        with contextlib.suppress(IntegrityError):
            return hash_pieces([narfile.nar_extent(os.fsencode(file))]) == nar
        return False

    def publish(self, narinfo: NarInfo) -> NarInfo:
        """Make a path valid whose NAR is already in the store; return its narinfo as stored. Raises `OutputError`."""
        stored = _relocate(narinfo)
        write_file(self.folder, f"{narinfo.info.path.hash}{_SUFFIX}", stored.dump().encode())
        self._infos[narinfo.info.path] = stored
        return stored

    def remove(self, paths: Iterable[StorePath]) -> None:
        """Make ``paths`` invalid; their NARs stay. Raises `OutputError`."""
        for path in paths:
            self._infos.pop(path, None)
            self.discard(f"{path.hash}{_SUFFIX}")

    def discard(self, name: str) -> None:
        """Remove the file ``name`` of the store, if it exists. Raises `OutputError`."""
        try:
            (self.folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise output_error(str(self.folder / name), error) from error

    def _make_error(self, file: Path, error: OSError) -> Unavailable:
        return Unavailable(file, error, "a readable store")


def is_store(folder: Path) -> bool:
    """Return whether ``folder`` is a binary cache."""
    return os.path.isfile(folder / CACHE_INFO)


def may_become_store(folder: Path) -> bool:
    """Return whether a store may be created in ``folder``.

    This is allowed if the folder is missing or empty, or contains only the first files of a store that another process
    is creating now, or was creating when it was killed.
    """
    try:
        names = set(os.listdir(folder))
    except FileNotFoundError:
        return not os.path.lexists(folder)
    except OSError:
        return False
    return names <= {PRIVATE} or CACHE_INFO in names


def _relocate(narinfo: NarInfo) -> NarInfo:
    """Return ``narinfo`` with the URL, compression and file hash that its NAR has in an embedded store."""
    info = narinfo.info
    return replace(
        narinfo, url=nar_name(info.nar_hash), compression="none", file_hash=info.nar_hash, file_size=info.nar_size
    )


def nar_name(nar_hash: Digest) -> str:
    """Return the file name of the NAR with that hash, relative to the folder of the store."""
    return f"{_NARS}/{dump_nix32(nar_hash.raw)}.nar"
