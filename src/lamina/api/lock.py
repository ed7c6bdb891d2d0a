"""The public function that pins the base images of spec files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from lamina.core.names import Digest
from lamina.errors import Error, FormatError, InvalidArgument, error_context
from lamina.formats.pinned_images import PinnedImage, PinnedImages
from lamina.formats.registry_references import RegistryReference
from lamina.inputs import specfile
from lamina.inputs.arguments import StrPath
from lamina.inputs.lock_file import is_current, locate_lock_file, read_lock_file, write_lock_file
from lamina.inputs.parsers import parse_boolean, parse_texts
from lamina.inputs.pinned_base import find_unpinned_base
from lamina.messages.redaction import short_repr
from lamina.registry.open import open_repository


@dataclass(frozen=True, slots=True)
class LockedImage:
    """A base image in a lock file, before and after `lock_images`.

    Attributes:
        reference: the name of the image, with a tag.
        digest: the digest that its tag has in the registry; None if no spec file names the image any more.
        previous: the digest that the lock file had; None if it had none.

    """

    reference: RegistryReference
    digest: Digest | None
    previous: Digest | None

    @property
    def change(self) -> Literal["kept", "added", "updated", "removed"]:
        """How its entry in the lock file changes."""
        if self.digest == self.previous:
            return "kept"
        if self.digest is None:
            return "removed"
        return "updated" if self.previous else "added"


@dataclass(frozen=True, slots=True)
class LockResult:
    """The result of `lock_images`.

    Attributes:
        file: the lock file.
        images: the base images that the lock file has or had, by reference.
        is_changed: whether the lock file changed, or, if it was only checked, would change.
        warnings: messages about the lock file that was there.

    """

    file: str
    images: tuple[LockedImage, ...]
    is_changed: bool
    warnings: tuple[str, ...] = ()


def lock_images(spec_file: StrPath | Sequence[StrPath], *, check: bool = False, insecure: bool = False) -> LockResult:
    """Pin the base images of a spec file: write the digests that they have in their registries to ``lamina.lock``.

    The lock file is in the folder of the spec file, and written whole or not at all. It has an entry for each base
    image in a registry whose reference has no digest. The digest of an image for several platforms is that of its
    index.

    Args:
        spec_file: the spec file; or all those in its folder that name base images, because they share the lock file.
        check: whether the lock file is only compared, and not written.
        insecure: whether a registry on another machine may be used over plain HTTP.

    Returns:
        The base images, with the digests that they had and have.

    Raises:
        InvalidArgument: an argument or a reference in a spec file is wrong.
        InputError: a spec file is missing, or cannot be read.
        FormatError: a spec file is neither TOML nor JSON.
        RegistryError: a registry has no such image, or failed.
        AuthError: a registry refuses the credentials, or wants some.
        IntegrityError: a manifest does not have the digest that its registry states.
        OutputError: the lock file cannot be written.

    """
    files = _parse_spec_files(spec_file)
    is_checked, is_insecure = parse_boolean("check", check), parse_boolean("insecure", insecure)
    lock_file = locate_lock_file(files[0])
    wanted = {str(reference): reference for file in files for reference in _iterate_references(file)}
    previous, warnings = _read_previous(lock_file)
    pinned = PinnedImages.of(_pin(wanted[name], previous, insecure=is_insecure) for name in sorted(wanted))
    is_changed = not is_current(lock_file, pinned) if is_checked else write_lock_file(lock_file, pinned)
    return LockResult(str(lock_file), tuple(_compare(previous, pinned)), is_changed, warnings)


def _parse_spec_files(value: StrPath | Sequence[StrPath]) -> tuple[Path, ...]:
    texts = parse_texts("spec_file", value)
    if not texts:
        raise InvalidArgument("spec_file", "none", "the name of a spec file")
    for text in texts:
        file, mark, name = text.partition("#")
        if mark:
            got = f"the image {short_repr(name)} of it"
            raise InvalidArgument(file, got, "a whole spec file, because its images share a lock file")
    folders = {os.path.abspath(os.path.dirname(text)) for text in texts}
    if len(folders) > 1:
        expected = "those of one folder, because each folder has a lock file"
        raise InvalidArgument("spec_file", f"spec files in {len(folders)} folders", expected)
    return tuple(map(Path, texts))


def _iterate_references(file: Path) -> Iterator[RegistryReference]:
    """Yield the references without a digest that a spec file has for base images in registries."""
    for table in specfile.load_all(str(file)).values():
        base = table.parse(left_out=table.arguments.keys() - {"from_image"}).get("from_image")
        with error_context(table.subject, Error):
            if reference := find_unpinned_base(base):
                yield reference


def _pin(reference: RegistryReference, previous: PinnedImages, *, insecure: bool) -> PinnedImage:
    """Ask the registry for the digest of an image.

    A registry such as the Docker Hub does not count a HEAD request as a pull. A digest that is not in the lock file yet
    is compared with the bytes of the manifest.
    """
    from lamina.images.readers.registry_image import make_missing_error
    from lamina.registry.manifests import find_manifest, get_manifest

    with open_repository(reference, insecure=insecure) as connection:
        found = find_manifest(connection, reference.target)
        if found is None:
            raise make_missing_error(reference)
        if found.digest != previous.find(reference) and get_manifest(connection, str(found.digest)) is None:
            raise make_missing_error(replace(reference, digest=found.digest))
    return PinnedImage(reference, found.digest)


def _read_previous(file: Path) -> tuple[PinnedImages, tuple[str, ...]]:
    """Return what a lock file has; nothing, and a warning, if it is damaged, for example by a merge."""
    if not os.path.lexists(file):
        return PinnedImages(()), ()
    try:
        return read_lock_file(file), ()
    except FormatError as error:
        return PinnedImages(()), (f"{error}; its entries are not used",)


def _compare(old: PinnedImages, new: PinnedImages) -> Iterable[LockedImage]:
    references = {str(image.reference): image.reference for image in (*old.images, *new.images)}
    for name in sorted(references):
        yield LockedImage(references[name], new.find(references[name]), old.find(references[name]))
