"""The file ``lamina.lock``: the digest that each base image in a registry has.

The digest of an image for several platforms is that of its index, so one entry serves all platforms.

The file is TOML, so that people can review its changes. Its entries are sorted, so the same images give the same bytes.

    version = 1

    [[image]]
    reference = "docker.io/library/debian:12"
    digest = "sha256:…"
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from lamina.core.names import Digest
from lamina.errors import FormatError, InvalidArgument
from lamina.formats.json_toml import parse_toml
from lamina.formats.registry_references import RegistryReference
from lamina.messages.redaction import short_repr

LOCK_FILE = "lamina.lock"
_VERSION = 1
_HEADER = '# Written by "lamina lock". Keep this file under version control.\n'
_KEYS = ("reference", "digest")
_EXPECTED = f"a file that lamina lock wrote, version {_VERSION}"
_HINT = "run lamina lock again"


@dataclass(frozen=True, slots=True)
class PinnedImage:
    """A base image and its digest.

    Attributes:
        reference: the name of the image, with a tag and without a digest.
        digest: the digest of its manifest, or of its index if it has several platforms.
    """

    reference: RegistryReference
    digest: Digest


@dataclass(frozen=True, slots=True)
class PinnedImages:
    """The images in a lock file, sorted by reference, each once.

    Attributes:
        images: the images.
    """

    images: tuple[PinnedImage, ...]

    @classmethod
    def of(cls, images: Iterable[PinnedImage]) -> PinnedImages:
        """Return the pinned images in order; the last one counts if several have one reference."""
        found = {str(image.reference): image for image in images}
        return cls(tuple(found[key] for key in sorted(found)))

    @classmethod
    def parse(cls, data: bytes, subject: str) -> PinnedImages:
        """Parse a lock file.

        Args:
            data: the file.
            subject: the start of an error message, usually the name of the file.

        Raises:
            FormatError: the file is not one that ``lamina lock`` wrote.

        """
        try:
            return _parse(data, subject)
        except FormatError as error:
            error.hint = _HINT
            raise

    def find(self, reference: RegistryReference) -> Digest | None:
        """Return the digest that is pinned for an image; None if the lock file does not have the image."""
        return next((image.digest for image in self.images if image.reference == reference), None)

    def dump(self) -> bytes:
        """Return the lock file."""
        return "\n".join((f"{_HEADER}version = {_VERSION}\n", *map(_dump_image, self.images))).encode()


def _dump_image(image: PinnedImage) -> str:
    # None of the values can have a character that TOML escapes.
    values = (str(image.reference), str(image.digest))
    lines = (f'{key} = "{value}"\n' for key, value in zip(_KEYS, values, strict=True))
    return "".join(("[[image]]\n", *lines))


def _parse(data: bytes, subject: str) -> PinnedImages:
    document = parse_toml(data, subject, _EXPECTED)
    version, listed = document.get("version"), document.get("image", [])
    if version != _VERSION or isinstance(version, bool):
        raise FormatError(subject, f"version {short_repr(version)}", _EXPECTED)
    unknown = sorted({*document} - {"version", "image"})
    if unknown or not isinstance(listed, list):
        raise FormatError(subject, f"the key {short_repr((*unknown, 'image')[0])}", "version, and a list of [[image]]")
    images = [_parse_image(item, f"{subject}: image {number}") for number, item in enumerate(listed, 1)]
    pinned = PinnedImages.of(images)
    if len(pinned.images) != len(images):
        raise FormatError(subject, "an image twice", "each reference once")
    return pinned


def _parse_image(item: Any, subject: str) -> PinnedImage:
    if not isinstance(item, dict) or sorted(item) != sorted(_KEYS) or not all(map(_is_text, item.values())):
        raise FormatError(subject, short_repr(item), f"the texts {', '.join(_KEYS)}")
    try:
        reference, digest = RegistryReference.parse(item["reference"]), Digest.parse_oci(item["digest"])
    except InvalidArgument as error:
        raise error.convert(FormatError).add_context(subject) from error
    if reference.digest:
        raise FormatError(subject, f"the reference {reference}", "one without a digest")
    return PinnedImage(reference, digest)


def _is_text(value: object) -> bool:
    return isinstance(value, str)
