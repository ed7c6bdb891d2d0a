"""The base images of many images: the same one is opened, checked and fetched once."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace

from lamina.builder.base_image import BaseImage
from lamina.builder.open_base import open_base
from lamina.core.callbacks import ignore
from lamina.errors import Error
from lamina.inputs.spec import Spec


class OpenedBases:
    """The base images of several specs, which closing ``resources`` closes.

    An instance is called as `open_base`. To close a base image that it returned does nothing, because others use it.
    """

    def __init__(self, resources: ExitStack) -> None:
        self._resources = resources
        self._opened: dict[tuple[object, ...], BaseImage | Error] = {}

    def __call__(
        self,
        spec: Spec,
        default_architecture: Callable[[], str | None] = ignore,
        warn: Callable[[str], object] = ignore,
    ) -> BaseImage:
        """Return the base image of ``spec``; the parameters are those of `open_base`, whose errors are raised.

        What could not be opened for one image is not tried again for the next.
        """
        if not spec.from_image:
            return open_base(spec, default_architecture, warn)
        architecture = spec.architecture or default_architecture()
        key = (
            spec.from_image,
            architecture,
            bool(spec.architecture),
            bool(spec.inherit),
            spec.insecure,
            spec.offline,
            spec.blob_cache,
            spec.local_blob_cache,
            spec.max_unpacked_size,
        )
        if key not in self._opened:
            self._opened[key] = self._open(spec, lambda: architecture, warn)
        found = self._opened[key]
        if isinstance(found, Error):
            # Callers add their own context to it. `copy.copy` is not used: in a process that has imported distributed,
            # the copy of an exception has the fields of the original, and not fields of its own.
            raise found.convert(type(found)) from found
        return found

    def _open(
        self, spec: Spec, default_architecture: Callable[[], str | None], warn: Callable[[str], object]
    ) -> BaseImage | Error:
        try:
            opened = open_base(spec, default_architecture, warn)
        except Error as error:
            return error
        self._resources.callback(opened.close)
        return replace(opened, layers=tuple(layer.share() for layer in opened.layers))
