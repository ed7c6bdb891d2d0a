"""Open the base image that a spec names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from lamina.builder.base_image import BaseImage, RegistryAccess
from lamina.builder.offline import refuse_reference
from lamina.core.callbacks import ignore
from lamina.errors import InvalidArgument
from lamina.images.shared_blob_cache import make_blob_cache
from lamina.inputs.spec import Spec


class OpenBase(Protocol):
    """A function that opens base images: `open_base`, or one that opens the same base image once."""

    def __call__(
        self, spec: Spec, default_architecture: Callable[[], str | None] = ..., warn: Callable[[str], object] = ...
    ) -> BaseImage:
        """Do what `open_base` does."""


def open_base(
    spec: Spec, default_architecture: Callable[[], str | None] = ignore, warn: Callable[[str], object] = ignore
) -> BaseImage:
    """Open the base image of ``spec``, or return a placeholder if it has none.

    ``default_architecture`` is passed to `BaseImage.open`, whose errors are raised. `InvalidArgument` is raised if keys
    are to be inherited and there is no base image. ``warn`` is called with warnings about the blob cache, as long as
    the base image is used.
    """
    if spec.inherit and not spec.from_image:
        got = f"{', '.join(spec.inherit)} and no base image"
        raise InvalidArgument("inherit", got, "a base image to take them from", hint="--from-image FILE names it")
    if not spec.from_image:
        return BaseImage()
    if spec.offline:
        refuse_reference("from_image", spec.from_image, "base.tar")
    place = spec.blob_cache or spec.local_blob_cache
    blob_cache = make_blob_cache(place, spec.local_blob_cache, warn, offline=spec.offline)
    return BaseImage.open(
        spec.from_image,
        spec.architecture,
        default_architecture=default_architecture,
        access=RegistryAccess(spec.insecure, blob_cache, spec.max_unpacked_size),
    )
