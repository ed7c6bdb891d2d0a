"""The document of ``lamina lock``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypedDict

from lamina.cli.documents import Document

if TYPE_CHECKING:
    from lamina.api.lock import LockedImage, LockResult


class LockedImageDocument(TypedDict):
    """A base image in a lock file."""

    reference: Annotated[str, "The name of the image in its registry, with the tag."]
    change: Annotated[str, "What happens to its entry: kept, added, updated or removed."]
    digest: Annotated[str | None, "The digest that the tag has now; null if no spec file names the image any more."]
    previous: Annotated[str | None, "The digest that the lock file had; null if it had none."]


class LockDocument(Document):
    """The base images that a lock file pins."""

    file: Annotated[str, "The lock file."]
    check: Annotated[bool, "Whether nothing was written, because --check was given."]
    changed: Annotated[bool, "Whether the lock file changed, or would change."]
    images: Annotated[list[LockedImageDocument], "The base images that the lock file has or had, by reference."]


def dump_lock(result: LockResult, *, check: bool) -> LockDocument:
    """Return the document of ``lamina lock``."""
    return {
        "file": result.file,
        "check": check,
        "changed": result.is_changed,
        "images": list(map(_dump_image, result.images)),
        "warnings": list(result.warnings),
    }


def _dump_image(image: LockedImage) -> LockedImageDocument:
    return {
        "reference": str(image.reference),
        "change": image.change,
        "digest": str(image.digest) if image.digest else None,
        "previous": str(image.previous) if image.previous else None,
    }
