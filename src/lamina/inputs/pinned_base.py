"""The base image of an image, with the digest that a lock file has for it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.errors import InvalidArgument
from lamina.inputs.spec import Spec

if TYPE_CHECKING:
    from lamina.formats.registry_references import RegistryReference

_HINT = "lamina lock adds the base images of the spec file"


def find_unpinned_base(base_image: str | None) -> RegistryReference | None:
    """Return the reference of a base image in a registry that has no digest; None for another or no base image.

    Raises:
        InputError: the text names an image that lamina cannot read from there.
        InvalidArgument: it is a reference with a mistake.

    """
    if not base_image:
        return None
    from lamina.formats.registry_references import RegistryReference
    from lamina.images.readers.select import parse_source

    source = parse_source(base_image)
    return source if isinstance(source, RegistryReference) and not source.digest else None


def pin_base_image(spec: Spec, warnings: list[str]) -> Spec:
    """Return ``spec`` with a base image that has the digest in its lock file, if there is one.

    A reference with a digest, and an image in a file, stay as they are, and the lock file is not read. Without
    ``locked``, a reference that the lock file does not have stays too, and ``warnings`` gets a message.

    Raises:
        InvalidArgument: ``locked`` is given, and the lock file does not have the reference, or there is none.
        InputError: ``locked`` is given and the lock file is missing; or it cannot be read.
        FormatError: the lock file is not one that ``lamina lock`` wrote.

    """
    reference = find_unpinned_base(spec.from_image)
    if reference is None:
        return spec
    if spec.lock_file is None:
        if spec.locked:
            hint = "write --from-image REF@sha256:…, or name the image in a spec file and run lamina lock"
            raise InvalidArgument("base image", f"{reference} without a spec file", "a digest (--locked)", hint=hint)
        return spec
    if not spec.locked and not os.path.lexists(spec.lock_file):
        return spec
    from lamina.inputs.lock_file import read_lock_file

    digest = read_lock_file(Path(spec.lock_file)).find(reference)
    if digest:
        return replace(spec, from_image=str(replace(reference, digest=digest)))
    if spec.locked:
        raise InvalidArgument(spec.lock_file, f"no {reference}", "its digest (--locked)", hint=_HINT)
    warnings.append(f"{spec.lock_file}: got no {reference}, used what its tag is now; {_HINT}")
    return spec
