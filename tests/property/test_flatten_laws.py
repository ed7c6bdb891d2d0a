"""The law of a flattened root: it is what a file system has after the layers were unpacked there, one after another."""

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


def _flat(folder: Path, layers: Layers) -> Rootfs:
    found = []
    for number, members in enumerate(layers):
        (folder / str(number)).write_bytes(dump_layer(members))
        found.append(LayerFile(get_extent(folder / str(number))))
    return flatten(found)


def _seen(root: Rootfs) -> dict[str, object]:
    """By path: kind and mode or target; what is linked to one another has one number."""
    numbers: dict[int, int] = {}
    seen: dict[str, object] = {}
    for path, entry in root:
        header = entry.header
        match entry.kind:
            case EntryKind.DIRECTORY:
                seen[path.decode()] = ("folder", header.mode if path else 0)
            case EntryKind.SYMLINK:
                seen[path.decode()] = ("link", header.target.decode(), numbers.setdefault(id(entry), len(numbers)))
            case _:
                assert read_head(entry.content, header.size) == b""
                seen[path.decode()] = ("file", header.mode, numbers.setdefault(id(entry), len(numbers)))
    return seen


# The model: a folder on this machine, and what any system's own calls do there


def _unpack(top: Path, layers: Layers) -> None:
    for members in layers:
        for member in members:
            place = top / member.name
            if place.name.startswith(".wh."):
                _hide(place)
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            if not (member.isdir() and place.is_dir() and not place.is_symlink()):
                _remove(place)
            if member.isdir():
                place.mkdir(exist_ok=True)
                place.chmod(member.mode)
            elif member.issym():
                place.symlink_to(member.linkname)
            elif member.islnk():
                os.link(top / member.linkname, place, follow_symlinks=False)
            else:
                place.touch()
                place.chmod(member.mode)


def _hide(place: Path) -> None:
    try:
        if not stat.S_ISDIR(place.parent.stat().st_mode):
            return
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise
        return
    hidden = place.parent.iterdir() if place.name == ".wh..wh..opq" else [place.with_name(place.name[4:])]
    for path in list(hidden):
        _remove(path)


def _remove(place: Path) -> None:
    if place.is_symlink() or place.is_file():
        place.unlink()
    elif place.exists():
        shutil.rmtree(place)


def _seen_on_disk(top: Path) -> dict[str, object]:
    numbers: dict[int, int] = {}
    seen: dict[str, object] = {"": ("folder", 0)}
    paths = (path for path in top.rglob("*"))
    for path in sorted(paths, key=lambda path: path.parts):
        status = path.lstat()
        name = str(path.relative_to(top))
        if path.is_symlink():
            seen[name] = ("link", os.readlink(path), numbers.setdefault(status.st_ino, len(numbers)))
        elif path.is_dir():
            seen[name] = ("folder", status.st_mode & 0o7777)
        else:
            seen[name] = ("file", status.st_mode & 0o7777, numbers.setdefault(status.st_ino, len(numbers)))
    return seen


@given(
    st.lists(
        st.tuples(st.lists(_WHITEOUTS, max_size=2), st.lists(_FILES | _FOLDERS | _LINKS, max_size=8)).map(
            lambda parts: [*parts[0], *parts[1]]
        ),
        max_size=3,
    )
)
def test_a_root_is_what_a_file_system_would_have(layers: Layers) -> None:
    """OCI image-spec, layer.md, "Applying Changesets"; whiteouts first, as it says they may be taken."""
    with tempfile.TemporaryDirectory() as name:
        top = Path(name) / "root"
        top.mkdir()
        umask = os.umask(0o022)
        try:
            _unpack(top, layers)
        except (OSError, RuntimeError):
            failed = True
        else:
            failed = False
        finally:
            os.umask(umask)
        try:
            found = _seen(_flat(Path(name), layers))
        except FormatError:
            assert failed
            return
        assert not failed
        assert found == _seen_on_disk(top)


@given(
    st.lists(_FILES | _FOLDERS, max_size=8),
    st.lists(_WHITEOUTS, max_size=3),
    st.lists(_FILES | _FOLDERS, max_size=5),
    st.randoms(use_true_random=False),
)
def test_where_a_layers_whiteouts_stand_makes_no_difference(
    lower: Sequence[tarfile.TarInfo],
    whiteouts: Sequence[tarfile.TarInfo],
    members: Sequence[tarfile.TarInfo],
    random: object,
) -> None:
    """OCI image-spec, layer.md, "Whiteouts": they hide what lower layers have, never what their own layer has."""
    mixed = [*members]
    for whiteout in whiteouts:
        mixed.insert(random.randrange(len(mixed) + 1), whiteout)  # type: ignore[attr-defined]
    outcomes = []
    with tempfile.TemporaryDirectory() as name:
        for upper in ([*whiteouts, *members], [*members, *whiteouts], mixed):
            try:
                outcomes.append(_seen(_flat(Path(name), [lower, upper])))
            except FormatError:
                assume(False)  # a file below what is only hidden later
    assert outcomes[0] == outcomes[1] == outcomes[2]
