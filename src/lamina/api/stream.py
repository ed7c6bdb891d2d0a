"""An image that is ready to be written: to a file, a layout, a stream, a script or a registry."""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from lamina.api.decisions import describe_image
from lamina.api.image_writers import make_registry_writer, open_archive, open_build_context, open_layout
from lamina.builder.prepare import list_script_folders
from lamina.core.names import StorePath
from lamina.core.progress import FETCHED, Progress
from lamina.errors import InvalidArgument
from lamina.images.image import BuildResult, Draft, ImageSettings, ImageWriter
from lamina.images.writers.archives import DEFAULT_FORMAT, create_archive_writer
from lamina.inputs.arguments import StrPath
from lamina.inputs.parsers import parse_boolean
from lamina.inputs.spec import Spec
from lamina.stores.path_progress import PathProgress
from lamina.system.cleanup import close_with
from lamina.system.output import Writable, is_layout, parse_output_file

if TYPE_CHECKING:
    from lamina.api.load import LoadResult
    from lamina.images.software import SbomFormat
    from lamina.images.writers.push_result import RegistryPushResult
    from lamina.inputs.registry_names import References

_ANNOTATIONS_WARNING = (
    "annotations: a docker-archive has no place for them, so they are left out; --format oci and hybrid, an OCI layout "
    "(-o DIR/) and a registry (lamina push) have"
)


class Stream:
    """An image that is ready to be written, any number of times.

    Use it in a ``with`` block, which closes the stores that it reads and removes its temporary files. Without a block,
    this happens when `close` is called, or when nothing refers to the stream any more. A closed stream cannot be
    written.

    Attributes:
        draft: the image before it is written.
        script_output: what the extra commands printed.
        close: closes the stream; a second call does nothing.

    """

    def __repr__(self) -> str:
        return f"<Stream of {self.draft}>"

    def __init__(
        self,
        draft: Draft,
        warnings: list[str],
        script_output: str,
        spec: Spec,
        close: Callable[[], object],
        seconds: float = 0.0,
        sandbox: str = "",
    ) -> None:
        self.close: weakref.finalize[[], object] = close_with(self, close)
        self._seconds = seconds
        self.draft = draft
        self._warnings = warnings
        self.script_output = script_output
        self._spec = spec
        self._sandbox = sandbox

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def spec(self) -> Spec:
        """The checked arguments of the image."""
        return self._spec

    @property
    def settings(self) -> ImageSettings:
        """Everything about the image except its layers."""
        return self.draft.settings

    @property
    def warnings(self) -> tuple[str, ...]:
        """The warnings so far, including those about writing."""
        return tuple(self._warnings)

    @property
    def decisions(self) -> tuple[str, ...]:
        """The decisions that no argument made, and their reasons: about the stores, the layers, the name and more."""
        return describe_image(self._spec, self.draft, self._sandbox)

    def write_to(self, out: Writable, *, compressor: str = "none", progress: Progress | None = None) -> BuildResult:
        """Stream the image to ``out``, as a docker-archive in one pass unless the image has another ``format``.

        Args:
            out: anything with a binary ``write``.
            compressor: ``none``, ``gz`` or ``zstd``.
            progress: receives the progress of the work.

        Returns:
            The image, with the digests of its layers, and what writing it took.

        Raises:
            IntegrityError: a file changed while it was read.
            OutputError: ``out`` could not be written.

        """
        return self._write_archive(out, compressor, progress)

    def build(self, output: StrPath, *, compressor: str | None = None, progress: Progress | None = None) -> BuildResult:
        """Write the image to a file, whole or not at all, or into an OCI layout.

        Args:
            output: a file; or, if it ends in ``/`` or is a folder, an OCI layout, to which only the blobs that it lacks
                are written.
            compressor: ``none``, ``gz`` or ``zstd``. By default the argument of the image, or else the one that fits
                the file's extension. A layout cannot have one.
            progress: receives the progress of the work.

        Returns:
            The image, with the digests of its layers, and what writing it took.

        Raises:
            InvalidArgument: a compressor, or a format other than ``oci``, was given for an OCI layout.
            IntegrityError: a file changed while it was read.
            OutputError: ``output`` could not be written.

        """
        if not is_layout(output):
            return self._write_archive(Path(output), compressor or self._spec.compressor, progress)
        self._check_open()
        began = time.monotonic()
        with open_layout(self._spec, output, compressor, progress, self._warnings) as layout:
            written = self._write_draft(layout)
        return replace(written, file=os.fsdecode(output), seconds=self._measure(began), warnings=self.warnings)

    def push(
        self,
        to: References,
        *,
        cache_from: References | None = (),
        sbom: SbomFormat | None = None,
        provenance: bool = False,
        progress: Progress | None = None,
    ) -> RegistryPushResult:
        """Push the image to registries; only the blobs that they lack are made and sent.

        The layers are compressed with gzip unless the image has another ``layer_compression``.

        Args:
            to: where to, as in `push_layered_image`.
            cache_from: images whose layers may be used, as in `push_layered_image`.
            sbom: the format of a software bill of materials to attach, as in `push_layered_image`.
            provenance: whether to attach the provenance of the image, as in `push_layered_image`.
            progress: receives the progress of the work.

        Returns:
            The image, with the digests of its layers and of its manifest, and what pushing it took.

        Raises:
            InvalidArgument: a reference is wrong.
            RegistryError: a registry failed.
            AuthError: a registry refuses the credentials, or wants some.
            IntegrityError: a file changed while it was read.
            OutputError: there is no room for temporary files.

        """
        from lamina.api.attachments import describe_draft
        from lamina.api.registry import open_push
        from lamina.api.sbom import parse_sbom_format

        began, spec = time.monotonic(), self._spec
        kind = None if sbom is None else parse_sbom_format("sbom", sbom)
        has_provenance = parse_boolean("provenance", provenance)
        self._check_open()
        with (
            open_build_context(spec, self._warnings) as context,
            open_push(to, cache_from, insecure=spec.insecure) as destination,
        ):
            warn = self._warnings.append
            describe = describe_draft(self.draft, spec, kind, warn, provenance=has_provenance)
            writer = make_registry_writer(spec, destination, progress, context, warn, describe=describe)
            pushed = writer.write(self.draft)
        return replace(pushed, seconds=self._measure(began), warnings=self.warnings)

    def load(self, into: str | None = None, *, progress: Progress | None = None) -> LoadResult:
        """Load the image into a container engine of this machine; only the layers that it lacks cross.

        Args:
            into: ``docker``, ``podman`` or ``containerd``, as in `load_layered_image`.
            progress: receives the progress of the work.

        Returns:
            The image, with the digests of its layers, and what loading it took.

        Raises:
            InvalidArgument: no engine has the name ``into``.
            OutputError: the program of the engine is not installed, or the engine failed.
            IntegrityError: a file changed while it was read.

        """
        from lamina.api.load import load_draft
        from lamina.engines.find import find_engine

        began, spec = time.monotonic(), self._spec
        self._check_open()
        engine = find_engine(into, spec.search_path)
        with open_build_context(spec, self._warnings) as context:
            loaded = load_draft(self, engine, context, progress, self._warnings.append)
        return replace(loaded, seconds=self._measure(began), warnings=self.warnings)

    def _write_archive(self, output: Path | Writable, compressor: str | None, progress: Progress | None) -> BuildResult:
        self._check_open()
        began, spec = time.monotonic(), self._spec
        format_name = spec.format or DEFAULT_FORMAT
        if format_name == DEFAULT_FORMAT and spec.annotations and _ANNOTATIONS_WARNING not in self._warnings:
            self._warnings.append(_ANNOTATIONS_WARNING)
        with open_archive(spec, output, compressor, self._warnings) as archive:
            out, context, compression = archive.out, archive.context, archive.compression
            written = self._write_draft(create_archive_writer(format_name, out, progress, context, compression))
        size, file = archive.counter.size, str(output) if isinstance(output, Path) else None
        seconds = self._measure(began)
        return replace(written, bytes_written=size, file=file, seconds=seconds, warnings=self.warnings)

    def _write_draft(self, writer: ImageWriter) -> BuildResult:
        return writer.write(self.draft)

    def _measure(self, began: float) -> float:
        """Return how long it took to prepare the image and to write it, which began at ``began``, in seconds."""
        return self._seconds + time.monotonic() - began

    def script(self, output: StrPath, *, progress: Progress | None = None) -> None:
        """Write an executable file that streams the image on any machine that has this Python and the store paths.

        Args:
            output: the file to write.
            progress: receives the progress of downloading store paths.

        Raises:
            InvalidArgument: a store is not a folder on this machine, or ``output`` is a folder.
            OutputError: ``output`` could not be written.

        """
        from lamina.images.writers.stream_script import write_script

        self._check_open()
        file = parse_output_file(output)
        self._fetch_missing(progress)
        write_script(self.draft, list_script_folders(self._spec), file)

    def _check_open(self) -> None:
        if not self.close.alive:
            raise make_closed_error()

    def _fetch_missing(self, progress: Progress | None) -> None:
        """Wait until the store paths that must be downloaded are here."""
        store = self.draft.store
        sizes: dict[StorePath, int] = {}
        for planned in self.draft.plans:
            known = [size for _, size in planned.nars] or [0] * len(planned.paths)
            sizes |= {path: size for path, size in zip(planned.paths, known, strict=True) if not store.is_local(path)}
        reported = PathProgress(progress, f"Fetching {len(sizes)} store paths", sizes)
        store.prefetch(sizes)
        for path in sizes:
            reported.start(path)
            store.location(path)
            reported.finish(path, FETCHED)
        reported.done()


def make_closed_error() -> InvalidArgument:
    """Return the error for a stream that is written after it was closed."""
    return InvalidArgument("stream", "a closed stream", "an open one", hint="write it before its block ends")
