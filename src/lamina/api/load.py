"""Load images into the container engines of this machine; only the layers that an engine lacks cross.

Invariant: after a load, the image has only the name that the user gave it, whether the engine pulled it or not.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Unpack

from lamina.api.images import stream_layered_image
from lamina.api.load_progress import LoadProgress
from lamina.compression.compressors import NO_LAYER_COMPRESSION
from lamina.core.progress import Progress, check_progress
from lamina.engines.engine import Engine, LoopbackImage
from lamina.errors import OutputError
from lamina.formats.platform import Platform
from lamina.images.image import Image
from lamina.inputs.arguments import ImageArguments
from lamina.server.blob_files import BlobFiles
from lamina.server.loopback import REPOSITORY, TAG, USER, Traffic, serve_on_loopback
from lamina.server.served_image import MakingSettings, make_image

if TYPE_CHECKING:
    from lamina.api.stream import Stream
    from lamina.images.image import BuildResult, Draft
    from lamina.layers.context import BuildContext
    from lamina.server.metrics import AnsweredRequest
    from lamina.system.transfer import BlobInfo

Way = Literal["pull", "archive"]
MAX_KEPT = 4 << 30
"""How many bytes of layers are kept in temporary files until the engine asks for them; others are made twice."""


@dataclass(frozen=True, slots=True, repr=False)
class LoadResult(Image):
    """An image that an engine has, and what loading it took.

    Attributes:
        platform: such as ``linux/amd64``.
        engine: ``docker``, ``podman`` or ``containerd``.
        blobs: digest and size in bytes of each layer on its way; in the order of the layers.
        way: ``pull`` if the engine asked for the layers that it lacked, ``archive`` if it got the whole image.
        blobs_sent: the number of layers that the engine got.
        bytes_sent: how many bytes it got: layers and documents, or the archive.
        seconds: how long it took to prepare and to load the image.
        warnings: messages about the arguments, the stores and the engine.

    """

    platform: str
    engine: str
    blobs: tuple[BlobInfo, ...]
    way: Way = field(compare=False)
    blobs_sent: int = field(compare=False)
    bytes_sent: int = field(compare=False)
    seconds: float = field(default=0.0, compare=False)
    warnings: tuple[str, ...] = field(default=(), compare=False)


def load_layered_image(
    *, into: str | None = None, progress: Progress | None = None, **arguments: Unpack[ImageArguments]
) -> LoadResult:
    """Load the image of store paths and their closure into a container engine; only the layers that it lacks cross.

    The engine pulls the image from a server on a loopback address, which exists only until then and has a password for
    this engine alone. An engine that cannot reach the server gets the whole image as an archive, with a warning.

    Args:
        into: ``docker``, ``podman`` or ``containerd``; by default the first of them whose program is installed.
        progress: receives the progress of the work.
        layer_compression: the compression of each layer on its way. By default ``none``.
        **arguments: those of `ImageArguments`.

    Returns:
        The image, with the digests of its layers, and what loading it took.

    Raises:
        InvalidArgument: no engine has the name ``into``, or another argument is wrong.
        OutputError: the program of the engine is not installed, or the engine failed.
        Error: what `stream_layered_image` raises.

    """
    check_progress(progress)
    with stream_layered_image(progress=progress, **arguments) as stream:
        return stream.load(into, progress=progress)


def load_draft(
    stream: Stream,
    engine: Engine,
    context: BuildContext,
    progress: Progress | None,
    warn: Callable[[str], object],
) -> LoadResult:
    """Load the image of ``stream`` into ``engine``; the arguments are those of `Stream.load`."""
    obstacle = engine.find_obstacle()
    if not obstacle:
        pulled = _pull(stream, engine, context, progress)
        if isinstance(pulled, LoadResult):
            return pulled
        obstacle = str(pulled)
    warn(f"{engine.name} got the whole image as an archive, because it cannot fetch layers from lamina: {obstacle}")
    return _load_archive(stream, engine, progress)


def _pull(stream: Stream, engine: Engine, context: BuildContext, progress: Progress | None) -> LoadResult | OutputError:
    """Make the image, and let ``engine`` pull it. Return the error of an engine that did not reach the server."""
    draft, reported, traffic = stream.draft, LoadProgress(progress, stream.draft), Traffic()

    def count(answered: AnsweredRequest) -> None:
        traffic.count(answered)
        reported.count(answered)

    reported.begin()
    compression = stream.spec.layer_compression or NO_LAYER_COMPRESSION
    with contextlib.closing(BlobFiles(MAX_KEPT, context.jobs)) as files:
        settings = MakingSettings(compression, files, context.jobs, context.layer_cache.remove_layer)
        served = make_image([draft], context, settings, draft, reported.making, reported.items)
        (made,) = served.images
        reported.expect(made)
        with serve_on_loopback(served, count) as address:
            platform = Platform.parse(draft.settings.config.architecture)
            image = LoopbackImage(address.host, REPOSITORY, TAG, platform, USER, address.password)
            try:
                engine.pull(image, made.image.repo_tag)
            except OutputError as error:
                if traffic.requests:
                    raise
                return error
    return _make_result(made.image, made.blobs, draft, engine, "pull", reported.finish(), traffic.size)


def _load_archive(stream: Stream, engine: Engine, progress: Progress | None) -> LoadResult:
    written: list[BuildResult] = []
    engine.load(lambda out: written.append(stream.write_to(out, progress=progress)))
    (image,) = written
    sent, size = len(image.layers), image.bytes_written
    return _make_result(image, image.blobs, stream.draft, engine, "archive", sent, size)


def _make_result(
    image: Image, blobs: tuple[BlobInfo, ...], draft: Draft, engine: Engine, way: Way, sent: int, size: int
) -> LoadResult:
    platform = str(draft.settings.config.platform)
    return LoadResult(image.digest, image.reference, image.layers, platform, engine.name, blobs, way, sent, size)
