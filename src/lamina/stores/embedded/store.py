"""The store that lamina keeps by itself: a folder that is a binary cache, its NARs uncompressed.

Invariant: what a narinfo in the folder vouches for is whole: a NAR is there before its narinfo, both come by renaming,
and neither is ever changed. So real Nix can copy from it, and any web server can serve it.

    nix-cache-info     HASH.narinfo     nar/NARHASH.nar     .lamina/ (locks, and NARs on their way in)

Nothing is unpacked: a store path is ranges of one file, and no name, mode or link of it is one on this machine.
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
from lamina.errors import Error, FormatError, IntegrityError, NotFound, Unavailable, output_error
from lamina.formats import narinfo
from lamina.formats.cache_info import FILE_NAME as CACHE_INFO
from lamina.formats.cache_info import CacheInfo
from lamina.formats.narinfo import NarInfo
from lamina.stores.embedded.locks import Locks
from lamina.stores.incoming import PRIVATE, IncomingFile, write_file
from lamina.stores.integrity import REPAIR_HINT
from lamina.system import narfile
from lamina.system.documents import check_file
from lamina.transports.urls import check_file_name

_SUFFIX = ".narinfo"
_NARS = "nar"
_PIECE = 1 << 18
_MAX_CACHE_INFO = 1 << 16
_INFO = CacheInfo(want_mass_query=True, priority=30)


class EmbeddedStore:
    """The store in ``folder``. Raises `Unavailable` where that is none."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._infos: dict[StorePath, NarInfo] = {}
        self.locks = Locks(folder / PRIVATE)
        self._check()

    @classmethod
    def open_or_create(cls, folder: Path) -> Self:
        """The store in ``folder``, an empty one where that is empty or not there.

        Raises `Unavailable` for a folder of something else, `OutputError` where none can be made.
        """
        if not is_store(folder):
            if not may_become_store(folder):
                raise Unavailable(
                    f"store {folder}: got something else, expected an empty folder or a store of lamina's"
                )
            write_file(folder, CACHE_INFO, _INFO.dump().encode())
        return cls(folder)

    @classmethod
    @contextlib.contextmanager
    def open_for_writing(cls, folder: Path) -> Iterator[Self]:
        """`open_or_create` for the block; what was made is removed if the block fails before any path was added."""
        was_there, was_store = os.path.lexists(folder), is_store(folder)
        store = cls.open_or_create(folder)
        try:
            yield store
        except BaseException:
            if not was_store and not os.path.exists(folder / _NARS):
                store.remove_empty(keep_folder=was_there)
            raise

    def remove_empty(self, *, keep_folder: bool) -> None:
        """Removes a store to which nothing has come yet."""
        with contextlib.suppress(OSError):
            (self.folder / CACHE_INFO).unlink()
            shutil.rmtree(self.folder / PRIVATE)
            if not keep_folder:
                self.folder.rmdir()

    def _check(self) -> None:
        try:
            check_file(
                self.folder / CACHE_INFO, f"{self.folder}/{CACHE_INFO}", "a store of lamina's", limit=_MAX_CACHE_INFO
            )
            info = CacheInfo.parse((self.folder / CACHE_INFO).read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise Unavailable(
                f"store {self.folder}: got none there, expected a store of lamina's",
                hint="lamina store fetch, add and import make one",
            ) from error
        except (OSError, UnicodeDecodeError) as error:
            got = getattr(error, "strerror", None) or error
            raise Unavailable(
                f"store {self.folder}: got {got} for {CACHE_INFO}, expected a store of lamina's"
            ) from error
        if info.store_dir != CacheInfo().store_dir:
            raise Unavailable(f"store {self.folder}: got one of {info.store_dir}, expected {CacheInfo().store_dir}")

    # --- what is there

    def narinfo(self, path: StorePath) -> NarInfo | None:
        """What is known of ``path``, None where it is not valid here. Raises `FormatError`, `Unavailable`."""
        if path not in self._infos:
            found = self.read_narinfo(path.hash)
            if found is None or found.info.path != path:
                return None
            self._infos[path] = found
        return self._infos[path]

    def query_each(self, paths: Collection[StorePath]) -> Iterator[tuple[StorePath, PathInfo | Error | None]]:
        """Give what is known of each of ``paths``, or what is wrong with its narinfo."""
        for path in paths:
            try:
                known = self.narinfo(path)
            except (FormatError, Unavailable) as error:
                yield path, error
            else:
                yield path, known.info if known else None

    def query(self, paths: Collection[StorePath]) -> Mapping[StorePath, PathInfo]:
        """Those of ``paths`` that are valid."""
        found = ((path, self.narinfo(path)) for path in paths)
        return {path: known.info for path, known in found if known}

    def location(self, path: StorePath) -> Extent:
        """The NAR of ``path``. Raises `NotFound`; `IntegrityError` where it is not there any more, or not as long."""
        known = self.narinfo(path)
        if known is None:
            raise NotFound(f"{path}: got no such valid path in {self.folder}, expected one")
        return self.nar_extent(known)

    def received_nar(self, known: NarInfo) -> Extent:
        """The NAR of ``known``, which came in and may not be valid yet. Raises as `location` does."""
        return self.nar_extent(_as_stored(known))

    def nar_extent(self, known: NarInfo) -> Extent:
        """The NAR that ``known`` says is there. Raises as `location` does."""
        if known.compression != "none":
            raise Unavailable(
                f"{self.folder / known.url}: got a NAR in {known.compression}, expected it uncompressed",
                hint=f"name the cache by its URL: --store file://{self.folder.absolute()}",
            )
        self.locks.hold_shared()
        file = self.file(known)
        try:
            extent = narfile.nar_extent(os.fsencode(file))
        except IntegrityError as error:
            raise IntegrityError(f"{known.info.path}: {error}", hint=REPAIR_HINT) from error
        if extent.length != known.info.nar_size:
            raise IntegrityError(f"{file}: got {extent.length} bytes, expected {known.info.nar_size}", hint=REPAIR_HINT)
        return extent

    def has_nar(self, known: NarInfo) -> bool:
        """Tell whether there is a file as long as the NAR of ``known`` where `nar_extent` would read it."""
        try:
            return known.compression == "none" and self.file(known).stat().st_size == known.info.nar_size
        except (OSError, FormatError):
            return False

    def file(self, known: NarInfo) -> Path:
        """Give the file that ``known`` names as its NAR. Raises `FormatError` for a URL that leads elsewhere."""
        return self.folder / check_file_name(str(self.folder), known.file_name)

    def stream_nar(self, known: NarInfo) -> Iterator[bytes]:
        """The pieces of the NAR that ``known`` has, which is there. Raises `Unavailable`."""
        file = self.folder / nar_name(known.info.nar_hash)
        try:
            with file.open("rb", buffering=0) as opened:
                while piece := opened.read(_PIECE):
                    yield piece
        except OSError as error:
            raise self._unavailable(file, error) from error

    def nodes(self, path: StorePath) -> Iterable[Node]:
        """What ``path`` is made of. Raises as `location` does."""
        return narfile.nodes(self.location(path))

    def find(self, name: str) -> tuple[StorePath, ...]:
        """The valid paths that ``name`` may mean (`choosing.match_paths`); a damaged narinfo has no name."""
        paths: list[StorePath] = []
        for hash_part in self.hashes():
            with contextlib.suppress(FormatError):
                paths += self.with_hashes([hash_part])
        return match_paths(paths, name)

    def hashes(self) -> Collection[str]:
        """The hashes of all valid paths."""
        self.locks.hold_shared()
        try:
            with os.scandir(self.folder) as entries:
                names = [entry.name for entry in entries]
        except OSError as error:
            raise self._unavailable(self.folder, error) from error
        return {name[:HASH_LENGTH] for name in names if name[HASH_LENGTH:] == _SUFFIX}

    def with_hashes(self, hashes: Collection[str]) -> tuple[StorePath, ...]:
        """The valid paths that begin with one of ``hashes``. Raises as `read_narinfo` does."""
        found = ((hash_part, self.read_narinfo(hash_part)) for hash_part in hashes)
        # The narinfo of another path makes none valid; `lamina store verify` tells of it.
        return tuple(
            sorted(known.info.path for hash_part, known in found if known and known.info.path.hash == hash_part)
        )

    def narinfos(self) -> list[NarInfo]:
        """All that is valid, ascending. Raises `FormatError` for a narinfo that is none."""
        found = (self.read_narinfo(hash_part) for hash_part in sorted(self.hashes()))
        return sorted((known for known in found if known), key=lambda known: known.info.path)

    def read_narinfo(self, hash_part: str) -> NarInfo | None:
        """The narinfo in the place of the path that begins with ``hash_part``, as it lies there now; None for none.

        Raises `FormatError` for what is none, `Unavailable`.
        """
        self.locks.hold_shared()  # from the first look on, or what was found could be collected before it is read
        file = self.folder / f"{hash_part}{_SUFFIX}"
        try:
            with file.open("rb") as opened:
                data = opened.read(narinfo.MAX_SIZE + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unavailable(file, error) from error
        try:
            return narinfo.parse_bytes(data)
        except FormatError as error:
            raise FormatError(f"{file}: {error}", hint=REPAIR_HINT) from error

    # --- what comes in

    def incoming(self) -> IncomingFile:
        """A NAR that is to come in; a context manager. Raises `OutputError`."""
        self.locks.hold_shared()
        return IncomingFile(self.folder)

    def contains_nar(self, nar_hash: Digest, nar_size: int) -> bool:
        """Whether there is such a NAR, of a valid path or of one that was about to become valid."""
        try:
            return (self.folder / nar_name(nar_hash)).stat().st_size == nar_size
        except OSError:
            return False

    def publish(self, known: NarInfo) -> NarInfo:
        """Makes its path valid, whose NAR is there; gives what is known of it from now on. Raises `OutputError`."""
        own = _as_stored(known)
        write_file(self.folder, f"{known.info.path.hash}{_SUFFIX}", own.dump().encode())
        self._infos[known.info.path] = own
        return own

    def remove(self, paths: Iterable[StorePath]) -> None:
        """Makes ``paths`` invalid; their NARs stay. Raises `OutputError`."""
        for path in paths:
            self._infos.pop(path, None)
            self.discard(f"{path.hash}{_SUFFIX}")

    def discard(self, name: str) -> None:
        """Removes a file of the store, if it is there. Raises `OutputError`."""
        try:
            (self.folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise output_error(str(self.folder / name), error) from error

    def _unavailable(self, file: Path, error: OSError) -> Unavailable:
        return Unavailable(f"{file}: got {error.strerror}, expected to read the store")


def is_store(folder: Path) -> bool:
    """Whether ``folder`` is a binary cache."""
    return os.path.isfile(folder / CACHE_INFO)


def may_become_store(folder: Path) -> bool:
    """Whether there is nothing in ``folder`` but what a store has whose maker was killed, or is at it just now."""
    try:
        names = set(os.listdir(folder))
    except FileNotFoundError:
        return not os.path.lexists(folder)
    except OSError:
        return False
    return names <= {PRIVATE} or CACHE_INFO in names


def _as_stored(known: NarInfo) -> NarInfo:
    """``known`` as it is in a store of lamina's."""
    info = known.info
    return replace(
        known, url=nar_name(info.nar_hash), compression="none", file_hash=info.nar_hash, file_size=info.nar_size
    )


def nar_name(nar_hash: Digest) -> str:
    """Where the NAR with that hash is, below a store's folder."""
    return f"{_NARS}/{dump_nix32(nar_hash.raw)}.nar"
