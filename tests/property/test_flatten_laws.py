"""The law of a flattened root: it equals a folder into which the layers were unpacked one after another."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hypothesis import assume, given
from hypothesis import strategies as st
from tests.support.image_files import LayerFile, dump_layer, hard_link, tar_member

from lamina.errors import FormatError
from lamina.formats.tar_reader import EntryKind
from lamina.images.readers.flatten import Rootfs, flatten
from lamina.images.readers.unpack import get_extent
from lamina.system.extents import read_head

Layers = Sequence[Sequence[tarfile.TarInfo]]

_NAMES = st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map("/".join)


def _file(name: str, mode: int) -> tarfile.TarInfo:
    return tar_member(name, tarfile.REGTYPE, mode=mode)


def _symlink(name: str, target: str) -> tarfile.TarInfo:
    return tar_member(name, tarfile.SYMTYPE, linkname=target)


def _whiteout(name: str, opaque: bool) -> tarfile.TarInfo:
    folder, _, base = name.rpartition("/")
    return tar_member(f"{name}/.wh..wh..opq" if opaque else f"{folder}/.wh.{base}".lstrip("/"), tarfile.REGTYPE)


_FILES = st.builds(_file, _NAMES, st.integers(0o400, 0o777))
_FOLDERS = st.builds(lambda name, mode: tar_member(name, tarfile.DIRTYPE, mode=mode), _NAMES, st.integers(0o700, 0o777))
_WHITEOUTS = st.builds(_whiteout, _NAMES, st.booleans())
_LINKS = st.builds(_symlink, _NAMES, _NAMES) | st.builds(hard_link, _NAMES, _NAMES)


def _flatten_files(folder: Path, layers: Layers) -> Rootfs:
    found = []
    for number, members in enumerate(layers):
        (folder / str(number)).write_bytes(dump_layer(members))
        found.append(LayerFile(get_extent(folder / str(number))))
    return flatten(found)


def _describe(root: Rootfs) -> dict[str, object]:
    """Return kind and mode or target by path; hard links to one file have the same number."""
    numbers: dict[int, int] = {}
    entries: dict[str, object] = {}
    for path, entry in root:
        header = entry.header
        match entry.kind:
            case EntryKind.DIRECTORY:
                entries[path.decode()] = ("folder", header.mode if path else 0)
            case EntryKind.SYMLINK:
                entries[path.decode()] = ("link", header.target.decode(), numbers.setdefault(id(entry), len(numbers)))
            case _:
                assert read_head(entry.content, header.size) == b""
                entries[path.decode()] = ("file", header.mode, numbers.setdefault(id(entry), len(numbers)))
    return entries


# The model: a folder on this machine, changed with system calls


def _unpack(top: Path, layers: Layers) -> None:
    for members in layers:
        for member in members:
            file = top / member.name
            if file.name.startswith(".wh."):
                _hide(file)
                continue
            file.parent.mkdir(parents=True, exist_ok=True)
            if not (member.isdir() and file.is_dir() and not file.is_symlink()):
                _remove(file)
            if member.isdir():
                file.mkdir(exist_ok=True)
                file.chmod(member.mode)
            elif member.issym():
                file.symlink_to(member.linkname)
            elif member.islnk():
                os.link(top / member.linkname, file, follow_symlinks=False)
            else:
                file.touch()
                file.chmod(member.mode)


def _hide(file: Path) -> None:
    try:
        if not stat.S_ISDIR(file.parent.stat().st_mode):
            return
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise
        return
    hidden = file.parent.iterdir() if file.name == ".wh..wh..opq" else [file.with_name(file.name[4:])]
    for path in list(hidden):
        _remove(path)


def _remove(file: Path) -> None:
    if file.is_symlink() or file.is_file():
        file.unlink()
    elif file.exists():
        shutil.rmtree(file)


def _describe_folder(top: Path) -> dict[str, object]:
    numbers: dict[int, int] = {}
    entries: dict[str, object] = {"": ("folder", 0)}
    paths = (path for path in top.rglob("*"))
    for path in sorted(paths, key=lambda path: path.parts):
        status = path.lstat()
        name = str(path.relative_to(top))
        if path.is_symlink():
            entries[name] = ("link", os.readlink(path), numbers.setdefault(status.st_ino, len(numbers)))
        elif path.is_dir():
            entries[name] = ("folder", status.st_mode & 0o7777)
        else:
            entries[name] = ("file", status.st_mode & 0o7777, numbers.setdefault(status.st_ino, len(numbers)))
    return entries


@given(
    st.lists(
        st.tuples(st.lists(_WHITEOUTS, max_size=2), st.lists(_FILES | _FOLDERS | _LINKS, max_size=8)).map(
            lambda parts: [*parts[0], *parts[1]]
        ),
        max_size=3,
    )
)
def test_a_flattened_root_equals_an_unpacked_one(layers: Layers) -> None:
    """OCI image-spec, layer.md, "Applying Changesets": whiteouts may be applied first."""
    with tempfile.TemporaryDirectory() as name:
        top = Path(name) / "root"
        top.mkdir()
        umask = os.umask(0o022)
        try:
            _unpack(top, layers)
        except (OSError, RuntimeError):
            refused = True
        else:
            refused = False
        finally:
            os.umask(umask)
        try:
            found = _describe(_flatten_files(Path(name), layers))
        except FormatError:
            assert refused
            return
        assert not refused
        assert found == _describe_folder(top)


@given(
    st.lists(_FILES | _FOLDERS, max_size=8),
    st.lists(_WHITEOUTS, max_size=3),
    st.lists(_FILES | _FOLDERS, max_size=5),
    st.randoms(use_true_random=False),
)
def test_the_order_of_whiteouts_in_a_layer_does_not_matter(
    lower: Sequence[tarfile.TarInfo],
    whiteouts: Sequence[tarfile.TarInfo],
    members: Sequence[tarfile.TarInfo],
    random: object,
) -> None:
    """OCI image-spec, layer.md, "Whiteouts": they hide files of lower layers, never those of their own layer."""
    mixed = [*members]
    for whiteout in whiteouts:
        mixed.insert(random.randrange(len(mixed) + 1), whiteout)  # type: ignore[attr-defined]
    outcomes = []
    with tempfile.TemporaryDirectory() as name:
        for upper in ([*whiteouts, *members], [*members, *whiteouts], mixed):
            try:
                outcomes.append(_describe(_flatten_files(Path(name), [lower, upper])))
            except FormatError:
                assume(False)  # a file below one that is hidden only later
    assert outcomes[0] == outcomes[1] == outcomes[2]
