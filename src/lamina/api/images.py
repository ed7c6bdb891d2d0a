"""The public verbs.

Invariant: a verb's arguments are those of one table (`lamina.ImageArguments`), its errors are `lamina.Error`s, and
it prints nothing.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from lamina.api.results import ListResult
from lamina.builder.prepare import PlanResult, plan, prepare, script_folders
from lamina.compression.compressors import Uncompressed, compressor_by_name, compressor_for_file
from lamina.core.names import ImageReference, parse_size
from lamina.errors import InvalidArgument
from lamina.formats.platform import Platform
from lamina.images.image import Draft, Image, ImageWriter
from lamina.images.progress import Progress
from lamina.images.writers.docker_archive import DockerArchive
from lamina.inputs.spec import ImageArguments, Spec
from lamina.inputs.stores import open_store
from lamina.layer_cache.cache import LayerCache, NullLayerCache
from lamina.layers.context import BuildContext
from lamina.messages.redaction import short_repr
from lamina.stores.cached import with_layer_cache
from lamina.stores.open import MACHINE
from lamina.stores.protocols import CanPrefetch, HasLocation, Store
from lamina.system.cpus import cpu_count
from lamina.system.fd_writer import FdWriter
from lamina.system.output import Writable, atomic_write, is_layout, make_writer
from lamina.system.transfer import Write

if TYPE_CHECKING:
    from lamina.api.layer_cache import LayerCacheCheck
    from lamina.images.readers.source_image import SourceImage

_IMAGE_HINT = "name one with --image"
_PLATFORM_HINT = "say which with --platform"


class Stream:
    """An image that is ready to be written, any number of times.

    ``warnings`` is what was odd on the way, writing included; ``script_output`` what the extra commands printed.
    """

    def __init__(self, draft: Draft, warnings: tuple[str, ...], script_output: str, spec: Spec) -> None:
        self.draft = draft
        self._warnings = list(warnings)
        self.script_output = script_output
        self._spec = spec

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was odd by now."""
        return tuple(self._warnings)

    def write_to(self, out: Writable, *, compressor: str = "none", progress: Progress | None = None) -> Image:
        """Streams the image to ``out`` as a docker-archive, in one pass.

        ``compressor`` is ``none``, ``gz`` or ``zstd``. Raises `IntegrityError` where a file changes meanwhile,
        `OutputError` where ``out`` does not take it.
        """
        return self._write_archive(out, compressor, progress)

    def build(
        self, output: str | os.PathLike[str], *, compressor: str | None = None, progress: Progress | None = None
    ) -> Image:
        """Writes the image to the file ``output``, whole or not at all, or into an OCI layout.

        It is a layout where ``output`` ends in ``/`` or is a folder: then only blobs that are not there are written.
        ``compressor`` None is the image's own, or else what the ending asks for. Raises as `write_to` does.
        """
        if not is_layout(output):
            return self._write_archive(Path(output), compressor or self._spec.compressor, progress)
        if (compressor or self._spec.compressor) not in (None, "none"):
            raise InvalidArgument(
                f"compressor: got {compressor or self._spec.compressor}, expected none for an OCI layout, a folder",
                hint="--layer-compression is for its layers",
            )
        from lamina.images.writers.oci_layout import OciLayout

        with self._build_context() as context:
            layout = OciLayout(Path(output), self._spec.layer_compression, progress, context, self._warnings.append)
            return self._write_draft(layout)

    def _write_archive(self, output: Path | Writable, compressor: str | None, progress: Progress | None) -> Image:
        spec = self._spec
        with self._build_context() as context, _open_output(output, compressor, spec.jobs) as write:
            # Who compresses, or takes it in Python, is slower than a thread that hashes.
            hashing = context if isinstance(write, FdWriter) else replace(context, jobs=1)
            return self._write_draft(DockerArchive(write, progress, hashing, spec.layer_compression))

    def _write_draft(self, sink: ImageWriter) -> Image:
        return sink.write(self.draft)

    @contextlib.contextmanager
    def _build_context(self) -> Iterator[BuildContext]:
        spec = self._spec
        with _open_layer_cache(spec, self._warnings) as layer_cache:
            yield BuildContext(layer_cache, spec.jobs or cpu_count(), spec.verify)

    def script(self, output: str | os.PathLike[str]) -> None:
        """Writes an executable file that streams the image, wherever this Python and the store paths are.

        Raises `InvalidArgument` for a store that is no folder on this machine, `OutputError`.
        """
        from lamina.images.writers.stream_script import write_script

        self._fetch_missing()
        write_script(self.draft, script_folders(self._spec), Path(output))

    def _fetch_missing(self) -> None:
        """Waits for the store paths that have to come from elsewhere."""
        store = self.draft.store
        if isinstance(store, CanPrefetch) and isinstance(store, HasLocation):
            paths = [path for plan in self.draft.plans for path in plan.paths]
            store.prefetch(paths)
            for path in paths:
                store.location(path)


def stream_layered_image(**arguments: Unpack[ImageArguments]) -> Stream:
    """The image of store paths and their closure, ready to be streamed (nixpkgs: dockerTools.streamLayeredImage).

    Runs the extra commands; reads no store layer yet. Raises `InvalidArgument` for arguments, `StoreError` for paths,
    `PlanError`, `ScriptError`.
    """
    spec = Spec.parse(arguments)
    warnings: list[str] = []
    store = open_store(spec, warnings)
    with _open_layer_cache(spec, warnings) as layer_cache:
        prepared = prepare(spec, with_layer_cache(store, layer_cache), datetime.now(UTC))
    draft = replace(prepared.draft, store=store)
    return Stream(draft, (*warnings, *prepared.warnings), prepared.script_output, spec)


def stream_conf(
    conf: str | os.PathLike[str],
    *,
    repo_tag: str | None = None,
    store: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
    jobs: int | None = None,
) -> Stream:
    """The image that nixpkgs' streamer would make of ``conf``, a ``conf.json`` of its own, ready to be streamed.

    ``repo_tag`` is another NAME:TAG for it; ``store`` are folders that hold ``nix/store``, none is the machine's own.
    Reads no store layer yet. Raises `InvalidArgument`, `NotFound`, `FormatError`, and what reading a base image raises.
    """
    from lamina.builder.nixpkgs_conf import draft, read_conf

    spec = Spec.parse({"store": store, "jobs": jobs})
    if not isinstance(spec.store, tuple):
        raise InvalidArgument(f"store: got {short_repr(store)}, expected folders")
    reference = ImageReference.parse(repo_tag) if repo_tag is not None else None
    places = tuple(map(Path, spec.store)) or (MACHINE,)
    made, warnings = draft(read_conf(Path(conf)), reference, places, datetime.now(UTC))
    return Stream(made, warnings, "", spec)


def build_layered_image(*, output: str | os.PathLike[str], **arguments: Unpack[ImageArguments]) -> Image:
    """Writes the image to the file ``output`` (nixpkgs: dockerTools.buildLayeredImage).

    Raises as the two it is made of, `stream_layered_image` and `Stream.build`.
    """
    check_extension(output, arguments.get("compressor"))
    return stream_layered_image(**arguments).build(output)


def plan_layered_image(**arguments: Unpack[ImageArguments]) -> PlanResult:
    """Which store path would go to which layer; opens no store path and runs nothing. Raises as
    `stream_layered_image` does.
    """
    spec = Spec.parse(arguments)
    warnings: list[str] = []
    planned = plan(spec, open_store(spec, warnings))
    return replace(planned, warnings=(*warnings, *planned.warnings))


def verify_layer_cache(
    *,
    layer_cache: str | os.PathLike[str],
    store: str | os.PathLike[str] | Store | Sequence[str | os.PathLike[str]] = (),
    progress: Progress | None = None,
) -> LayerCacheCheck:
    """Hashes every layer in the file ``layer_cache`` anew whose store paths are in ``store``, and each of these paths;
    what turns out to be wrong is forgotten there.

    Gives what became of it; a file that is not there is not made. ``store`` is as in `stream_layered_image`. Raises
    `InvalidArgument`, `Unavailable`, `FormatError` for a broken graph.
    """
    spec = Spec.parse({"layer_cache": layer_cache, "store": store})
    if spec.layer_cache is None:
        raise InvalidArgument("layer_cache: got None, expected the name of a file")
    from lamina.api.layer_cache import LayerCacheCheck, verify

    if _is_missing(spec.layer_cache):
        return LayerCacheCheck(exists=False)
    warnings: list[str] = []
    with _open_layer_cache(spec, warnings) as found:
        verified = verify(found, open_store(spec, warnings), progress)
    return replace(verified, warnings=tuple(warnings))


def _is_missing(file: str) -> bool:
    try:
        os.stat(file)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):  # which opening it tells of
        return False
    return False


@contextlib.contextmanager
def _open_layer_cache(spec: Spec, warnings: list[str]) -> Iterator[LayerCache]:
    """The layer cache of ``spec`` for the block; what is odd about it is added to ``warnings``, once."""

    def warn(text: str) -> None:
        if text not in warnings:
            warnings.append(text)

    with LayerCache.open(Path(spec.layer_cache), warn) if spec.layer_cache else NullLayerCache() as layer_cache:
        yield layer_cache


def inspect(
    path: str | os.PathLike[str], *, platform: str | None = None, max_unpacked_size: int | str | None = None
) -> ListResult[SourceImage]:
    """Return what an image file or an OCI layout holds; every digest is computed from its bytes.

    ``path`` is the file or folder, or ``FILE#NAME`` for the images of that name alone. ``platform``, such as
    ``linux/arm64``, is the one of which images are returned; None for all. ``max_unpacked_size`` is the number of
    bytes, or a text such as ``4GiB``, that the image may unpack to; None is 2 GiB, or for a larger file a hundred times
    its length. Raises `NotFound`, `FormatError` for what is no image, `IntegrityError` for one that contradicts itself,
    and `PlanError` if no image is for ``platform``.
    """
    from lamina.images.readers import select
    from lamina.images.readers.open import open_images

    file, name = select.split_name(path)
    found = open_images(file, _parse_unpacked_size(max_unpacked_size))
    if name is not None:
        found = select.select_by_name(found, name, file, f"name one as {file}#NAME:TAG")
    if platform:
        found = select.select_by_platform(found, Platform.parse(platform), file, select.PLATFORM_HINT)
    return ListResult(found)


def merge_images(
    images: Iterable[str | os.PathLike[str]],
    *,
    output: str | os.PathLike[str] | Writable,
    platform: str | None = None,
    max_unpacked_size: int | str | None = None,
    compressor: str | None = None,
    progress: Progress | None = None,
) -> ListResult[SourceImage]:
    """Write one docker-archive of the images in all these files and layouts (nixpkgs: dockerTools.mergeImages).

    Returns the images, each once with all its names. ``images`` may be ``FILE#NAME``; ``platform`` is the one of which
    images are taken, None for all. ``output`` is a file, written whole or not at all, or something with a ``write``;
    ``compressor`` None is what the file's ending asks for; ``max_unpacked_size`` is as in `inspect`, for each of the
    files. Raises `InvalidArgument` if two images share a name, and as `inspect` and `Stream.build` do.
    """
    from lamina.images.merge import collect_images, write_merged

    if isinstance(images, (str, os.PathLike)):
        raise InvalidArgument(f"images: got {short_repr(images)}, expected a list of them")
    check_extension(output, compressor)
    chosen = Platform.parse(platform) if platform else None
    found = collect_images(images, chosen, _parse_unpacked_size(max_unpacked_size))
    with _open_output(output, compressor) as write:
        write_merged(found, write, progress, BuildContext(jobs=cpu_count()))
    return ListResult(found)


def export_image(
    image: str | os.PathLike[str],
    *,
    output: str | os.PathLike[str] | Writable,
    name: str | None = None,
    platform: str | None = None,
    max_unpacked_size: int | str | None = None,
    compressor: str | None = None,
    progress: Progress | None = None,
) -> SourceImage:
    """Write the root file system that an image's layers make as a tar (nixpkgs: dockerTools.exportImage).

    Returns the image. ``image`` may be ``FILE#NAME``, which is short for ``name``: its NAME:TAG, bare tag or ID if the
    file holds several; ``platform`` chooses among those of one name. ``output``, ``compressor`` and
    ``max_unpacked_size`` are as in `merge_images`. Raises `NotFound` if there is no such image or several, and as
    `inspect` and `Stream.build` do.
    """
    from lamina.images.export import ExportedRoot, write_root
    from lamina.images.readers import select
    from lamina.images.readers.open import open_images

    check_extension(output, compressor)
    file, named = select.split_name(image)
    wanted = name if name is not None else named
    _refuse_as_output(output, file)
    images = open_images(file, _parse_unpacked_size(max_unpacked_size))
    if wanted is not None:
        images = select.select_by_name(images, wanted, file, _IMAGE_HINT)
    if platform:
        images = select.select_by_platform(images, Platform.parse(platform), file, select.PLATFORM_HINT)
    found = select.select_single(images, file, _IMAGE_HINT if platform or wanted is None else _PLATFORM_HINT)
    root = ExportedRoot(found, file)
    with _open_output(output, compressor) as write:
        write_root(root, write, progress)
    return found


def check_extension(output: object, compressor: str | None) -> None:
    """Raise `InvalidArgument` for a file whose ending asks for a compression that there is not.

    That is known before a script runs or an image is read.
    """
    if compressor is None and isinstance(output, (str, os.PathLike)) and not is_layout(output):
        compressor_for_file(os.path.basename(os.fspath(output)))


def _parse_unpacked_size(size: int | str | None) -> int | None:
    return None if size is None else parse_size("max_unpacked_size", size)


def _refuse_as_output(output: object, image: Path) -> None:
    """Raises `InvalidArgument` where a root would take the place of the image that it is made of."""
    with contextlib.suppress(OSError, ValueError):
        if isinstance(output, (str, os.PathLike)) and os.path.samefile(output, image):
            raise InvalidArgument(f"output: got {image}, the image itself, expected another file")


@contextlib.contextmanager
def _open_output(
    output: str | os.PathLike[str] | Writable, compressor: str | None, jobs: int | None = None
) -> Iterator[Write]:
    """A way to write ``output``, compressed; None is what a file's ending asks for, and nothing for anything else."""
    with contextlib.ExitStack() as stack:
        if isinstance(output, (str, os.PathLike)):
            path = Path(output)
            make = compressor_by_name(compressor or compressor_for_file(path.name))
            write = stack.enter_context(atomic_write(path))
        else:
            name = getattr(output, "name", None)
            make = compressor_by_name(compressor or "none")
            write = make_writer(output, name if isinstance(name, str) else "output")
        if make is Uncompressed:
            yield write  # an outlet takes more than a compressor does
            return
        compressed = make(write, jobs or cpu_count())
        yield compressed.write
        compressed.close()
