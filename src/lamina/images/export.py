"""Export the root file system of an image as a tar.

Entries are sorted by path, parents first. Of several hard links to one file, the first in that order is written as the
file. The same image always gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache, partial

from lamina.core.nodes import Extent
from lamina.core.progress import COPIED, Progress, ProgressItem, Work
from lamina.errors import FormatError, error_context
from lamina.formats.tar import Member, Owner, PaxHeaders, TypeFlag, padded_size, padding
from lamina.formats.tar_reader import EntryKind
from lamina.images.readers.flatten import RootEntry, flatten
from lamina.images.readers.source_image import SourceImage
from lamina.layers.layer import LayerSource
from lamina.layers.packed import PackedLayer
from lamina.messages.redaction import join_names
from lamina.system.fd_writer import Output
from lamina.system.progress_reporter import ProgressReporter
from lamina.system.transfer import Piece, copy

_KINDS = {
    EntryKind.FILE: TypeFlag.FILE,
    EntryKind.SYMLINK: TypeFlag.SYMLINK,
    EntryKind.CHARACTER: TypeFlag.CHARACTER,
    EntryKind.BLOCK: TypeFlag.BLOCK,
    EntryKind.DIRECTORY: TypeFlag.DIRECTORY,
    EntryKind.FIFO: TypeFlag.FIFO,
}


class ExportedRoot(LayerSource):
    """The root file system of an image, as a layer source.

    Args:
        image: the image whose layers are applied.
        subject: the image file's name, for messages.

    Raises:
        FormatError: the layers do not form a root file system.

    """

    def __init__(self, image: SourceImage, subject: object) -> None:
        self._image = image
        with error_context(subject, FormatError):
            # Look up all content now, so that a file that cannot be exported is refused before anything is written.
            self._entries = [
                (path, entry, (entry.content,) if entry.kind is EntryKind.FILE else ())
                for path, entry in flatten(image.layers)
                if path or entry.layer >= 0
            ]

    @property
    def name(self) -> str:
        """The names of the image, or its ID if it has none."""
        return join_names(self._image.repo_tags, self._image.id)

    @property
    def outcome(self) -> str:
        """The word for how its bytes are made: they are copied."""
        return COPIED

    def headline(self, number: int) -> str:
        """Return the line that is logged when the root is written."""
        return f"Exporting {self.name}"

    def pack(self) -> PackedLayer:
        """Return the tar of the root."""
        members = list(self._list_members())
        size = sum(len(header) + sum(padded_size(extent.length) for extent in content) for header, content in members)
        return PackedLayer.with_trailer(size, _join_pieces(members))

    def _list_members(self) -> Iterator[tuple[bytes, Sequence[Extent]]]:
        first_paths: dict[int, bytes] = {}
        for path, entry, content in self._entries:
            first_path = first_paths.setdefault(id(entry), path) if entry.kind is not EntryKind.DIRECTORY else path
            if first_path != path:
                link = Member(b"./" + path, TypeFlag.LINK, entry.header.mode, target=b"./" + first_path)
                yield _dump_header(entry, link), ()
            else:
                yield _dump_header(entry, _make_member(path, entry)), content


def write_root(root: ExportedRoot, out: Output, progress: Progress | None = None) -> None:
    """Write the tar of ``root``.

    Raises:
        IntegrityError: the image file has changed since it was opened.

    Any error of ``out`` is passed on.

    """
    reported = ProgressReporter(progress)
    packed = root.pack()
    item = ProgressItem(1, packed.size, root)
    reported.begin(Work(f"Exporting {root.name}", (item,), "file"))
    reported.start(item)
    copy(packed.pieces, out, partial(reported.advance, item))
    reported.finish(item, root.outcome, packed.size)
    reported.done()


def _make_member(path: bytes, entry: RootEntry) -> Member:
    header = entry.header
    is_device = entry.kind in (EntryKind.CHARACTER, EntryKind.BLOCK)
    name = b"./" + path
    if path and entry.kind is EntryKind.DIRECTORY:
        name += b"/"
    device = header.device if is_device else None
    return Member(name, _KINDS[entry.kind], header.mode, header.size, header.target, device)


def _dump_header(entry: RootEntry, member: Member) -> bytes:
    header = entry.header
    owner = Owner(header.uid, header.gid, _decode(header.uname), _decode(header.gname))
    if not header.xattrs:
        return _get_headers(owner, header.mtime).make_header(member)
    xattrs = [(_decode(name), value) for name, value in header.xattrs]
    return PaxHeaders(owner, header.mtime, xattrs).make_header(member)


@lru_cache(maxsize=1024)
def _get_headers(owner: Owner, mtime: int) -> PaxHeaders:
    return PaxHeaders(owner, mtime)


def _decode(field: bytes) -> str:
    return field.decode("utf-8", "surrogateescape")


def _join_pieces(members: Sequence[tuple[bytes, Sequence[Extent]]]) -> Iterator[Piece]:
    for header, content in members:
        yield header
        for extent in content:
            yield extent
            yield padding(extent.length)
