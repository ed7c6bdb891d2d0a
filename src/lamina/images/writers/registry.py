"""Push images to registries (OCI distribution-spec 1.1, "Push").

Only blobs that a repository lacks are made and sent. The manifest is stored under its tags last, so a reader of a tag
sees the old image or the new one, whose blobs are all there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count

from lamina.compression.compressors import LayerCompression
from lamina.core.callbacks import ignore
from lamina.core.labels import name_layer
from lamina.core.names import ImageReference, StorePath
from lamina.core.progress import REUSED, FileSubject, Progress, ProgressItem, Work
from lamina.errors import InvalidArgument
from lamina.formats.annotations import Annotations, sort_annotations
from lamina.formats.docker import HistoryItem, list_layer_comments
from lamina.formats.media_types import OCI, MediaTypes
from lamina.formats.oci import Descriptor, dump_manifest, read_media_type
from lamina.images.attachments import DescribeImage, PushedImage, describe_nothing
from lamina.images.blob_totals import UpdateTotals, add_up_update
from lamina.images.image import Draft
from lamina.images.layer_descriptors import describe_layer
from lamina.images.readers.oci_manifests import FOREIGN_LAYERS
from lamina.images.readers.registry_image import RegistryImage, describe_registry_blob
from lamina.images.readers.source_image import SourceImage
from lamina.images.registry_destination import RegistryDestination
from lamina.images.source_layers import make_layer_sources
from lamina.images.writers.push_progress import PushProgress
from lamina.images.writers.push_result import RegistryPushResult
from lamina.images.writers.registry_blobs import RegistryBlobs
from lamina.images.writers.registry_manifests import (
    UNKNOWN_BLOB_HINT,
    attach_to_image,
    put_under_digest,
    put_under_tags,
)
from lamina.layers.blob_writer import BlobWriter, WrittenBlob
from lamina.layers.context import BuildContext
from lamina.layers.layer import Layer, LayerSource, StoredBlob, list_items
from lamina.layers.temporary_blobs import explain_temporary_files
from lamina.registry.blobs import find_blob
from lamina.registry.connection import RegistryConnection
from lamina.registry.manifests import UnknownBlobError
from lamina.system.progress_reporter import ProgressReporter
from lamina.system.transfer import BlobInfo


@dataclass(frozen=True, slots=True)
class _StoredLayer:
    """A layer whose blob another image has, and the store paths in it.

    ``is_sent`` is False if the blob is not distributed, so that a manifest may name it although no registry has it.
    """

    blob: StoredBlob
    paths: tuple[StorePath, ...]
    is_sent: bool = True


@dataclass(frozen=True, slots=True)
class _PushedLayer:
    """A layer whose blob is in all repositories."""

    layer: Layer
    descriptor: Descriptor


class RegistryWriter:
    """Writes images to ``destination``.

    Args:
        destination: the repositories and their tags.
        compression: how each layer is compressed that is not a blob yet.
        progress: receives the progress of the work.
        context: the layer cache and the number of processors.
        warn: is called with the text of each warning.
        media_types: those of the manifest, the config and the layers; by default those of an image that exists, and
            OCI's for all others.
        is_tagged: whether the tags name the image. The manifest of an image of an index is stored by its digest.
        describe: returns the documents to attach to the image. They are attached before the tags name it.
    """

    def __init__(
        self,
        destination: RegistryDestination,
        compression: LayerCompression,
        progress: Progress | None = None,
        context: BuildContext | None = None,
        warn: Callable[[str], object] = ignore,
        media_types: MediaTypes | None = None,
        *,
        is_tagged: bool = True,
        describe: DescribeImage = describe_nothing,
    ) -> None:
        self._destination = destination
        self._describe_image = describe
        self._is_tagged = is_tagged
        self._stated_types = media_types
        self._types = media_types or OCI
        self._compression = compression
        self._progress = ProgressReporter(progress)
        self._push_progress = PushProgress(self._progress)
        self._context = context or BuildContext()
        for image in destination.caches:
            image.state_layers(self._context.layer_cache, compression)
        for warning in destination.warnings:
            warn(warning)

    def write(self, draft: Draft) -> RegistryPushResult:
        """Push one image.

        Args:
            draft: the image.

        Returns:
            The image, with the digests of its layers, and what pushing it took.

        Raises:
            RegistryError: a registry failed, or refused something.
            AuthError: a registry refuses the credentials, or wants some.
            IntegrityError: a file changed while it was read, or a layer differs from what was known about it.
            OutputError: there is no room for the temporary files.

        Errors of the store are passed on.

        """
        settings = draft.settings
        sources = draft.layers
        items = list_items(sources)

        def push(blobs: RegistryBlobs) -> RegistryPushResult:
            pushed = self._push_sources(sources, items, blobs, self._types)
            pairs = zip(pushed, sources, strict=True)
            history = [HistoryItem(item.layer.diff_id, source.comment) for item, source in pairs]
            config, *_ = settings.dump_config(history)
            manifest = self._dump_manifest(config, pushed, settings.annotations)
            return self._publish(pushed, settings.config.platform, blobs, config, manifest)

        return self._push(draft.describe_work(items, names_platform=not self._is_tagged), push)

    def write_image(self, image: SourceImage) -> RegistryPushResult:
        """Push an image that was read from a file or a layout, and keep its ID.

        Blobs that are compressed are sent as they are, and so is the manifest if all of them are, or if no layer is to
        be compressed. The other layers are compressed.

        Args:
            image: the image.

        Returns:
            What `write` returns.

        Raises:
            Error: what `write` raises.

        """
        sources, is_kept = make_layer_sources(image, self._compression, self._stated_types)
        items = list_items(sources)

        def push(blobs: RegistryBlobs) -> RegistryPushResult:
            pushed = self._push_sources(sources, items, blobs, None if is_kept else self._types)
            manifest = image.manifest_json
            if not is_kept:
                manifest = self._dump_manifest(image.config_json, pushed, sort_annotations(image.annotations))
            return self._publish(pushed, image.platform, blobs, image.config_json, manifest)

        return self._push(Work(str(self._destination.references[0]), items), push)

    def copy_image(self, image: RegistryImage, connection: RegistryConnection) -> RegistryPushResult:
        """Copy an image from another repository, which ``connection`` reads; nothing of it changes.

        Args:
            image: the image.
            connection: the repository that has it.

        Returns:
            What `write` returns. The size of each layer is that of its blob.

        Raises:
            Error: what `write` raises.

        """
        if not self._has_types(image.manifest.document):
            got = f"{self._types.name}, and an image of a registry that has others"
            hint = f"pull it first: lamina pull {image.reference} -o DIR/"
            raise InvalidArgument("media types", got, "an image file, an OCI layout or ROOTs", hint=hint)
        repository = image.reference.name
        comments = list_layer_comments(image.config, len(image.layers))
        stored = {}
        for number, layer in enumerate(image.layers, 1):
            is_foreign = layer.descriptor.media_type in FOREIGN_LAYERS
            is_sent = not is_foreign or find_blob(connection, layer.digest)
            blob = describe_registry_blob(layer, connection, repository)
            stored[number] = _StoredLayer(blob, layer.paths, is_sent)
        names = map(name_layer, (layer.paths for layer in image.layers), comments)
        items = tuple(
            ProgressItem(number, layer.size, FileSubject(name))
            for number, layer, name in zip(count(1), image.layers, names, strict=False)
        )

        def push(blobs: RegistryBlobs) -> RegistryPushResult:
            pushed = self._push_layers(items, {}, stored, blobs)
            return self._publish(pushed, image.platform, blobs, image.config_json, image.manifest.document)

        return self._push(Work(str(self._destination.references[0]), items), push)

    def _push(self, work: Work, push: Callable[[RegistryBlobs], RegistryPushResult]) -> RegistryPushResult:
        """Return what ``push`` returns. It is called again if a registry lacks a blob that it said it has.

        A registry may do so after it removed unused blobs, or if it mounts blobs in name only.
        """
        with RegistryBlobs(self._destination, self._push_progress) as blobs:
            self._push_progress.begin(work)
            try:
                return push(blobs)
            except UnknownBlobError:
                blobs.forget()
            self._push_progress.begin(work)
            try:
                return push(blobs)
            except UnknownBlobError as error:
                raise error.error.add_hint(UNKNOWN_BLOB_HINT) from None

    def _push_sources(
        self,
        sources: Sequence[LayerSource],
        items: Sequence[ProgressItem],
        blobs: RegistryBlobs,
        types: MediaTypes | None,
    ) -> list[_PushedLayer]:
        """Bring the layers to all repositories: the blobs that other images have as they are, the others packed.

        The blobs get the media types ``types``; with None they keep theirs.
        """
        packed: dict[int, LayerSource] = {}
        stored: dict[int, _StoredLayer] = {}
        for item, source in zip(items, sources, strict=True):
            blob = source.stored_blob
            if blob is None:
                packed[item.number] = source
            else:
                described = types.describe(blob.descriptor) if types else blob.descriptor
                stored[item.number] = _StoredLayer(replace(blob, descriptor=described), source.paths)
        return self._push_layers(items, packed, stored, blobs)

    def _push_layers(
        self,
        items: Sequence[ProgressItem],
        packed: Mapping[int, LayerSource],
        stored: Mapping[int, _StoredLayer],
        blobs: RegistryBlobs,
    ) -> list[_PushedLayer]:
        """Bring the blobs of all layers, which are given by their numbers, to all repositories."""
        pushed: dict[int, _PushedLayer] = {}
        to_pack = [item for item in items if item.number in packed]
        blobs.add_owners(found.blob for found in stored.values())
        with (
            explain_temporary_files(),
            BlobWriter(
                tuple(packed.values()), self._context, self._compression, blobs, self._push_progress, to_pack
            ) as blob_writer,
        ):
            try:
                for item in items:
                    if found := stored.get(item.number):
                        plain = found.blob.plain
                        if found.is_sent:
                            blobs.send(found.blob, item)
                        else:
                            self._progress.finish(item, REUSED, plain.size)
                        layer = Layer(plain.digest, plain.size, found.paths)
                        pushed[item.number] = _PushedLayer(layer, found.blob.descriptor)
                for item, written in zip(to_pack, blob_writer, strict=True):
                    pushed[item.number] = _PushedLayer(written.layer, self._describe(written))
                blobs.finish()
            except BaseException:
                blobs.stop()
                raise
        return [pushed[item.number] for item in items]

    def _has_types(self, manifest: bytes) -> bool:
        """Return whether a manifest has the media types that are wanted."""
        return self._stated_types is None or read_media_type(manifest) == self._stated_types.manifest

    def _describe(self, written: WrittenBlob) -> Descriptor:
        return describe_layer(written, self._compression, self._types)

    def _dump_manifest(self, config: bytes, layers: Sequence[_PushedLayer], annotations: Annotations) -> bytes:
        types = self._types
        described = Descriptor.of(types.config, config)
        kept = annotations if types.has_annotations else ()
        return dump_manifest(described, [layer.descriptor for layer in layers], kept, types.manifest)

    def _publish(
        self,
        pushed: Sequence[_PushedLayer],
        platform: str,
        blobs: RegistryBlobs,
        config: bytes,
        manifest: bytes,
    ) -> RegistryPushResult:
        """Store the config, and then the manifest with the documents about it."""
        self._progress.documents()
        bytes_sent = blobs.bytes_sent
        image_id = blobs.add(config).digest
        layers = tuple(item.layer for item in pushed)
        described = Descriptor.of(read_media_type(manifest), manifest)
        names = tuple(repository.connection.name for repository in self._destination.repositories)
        documents = self._describe_image(PushedImage(image_id, described, names, platform, layers))
        attached = attach_to_image(self._destination, manifest, described, documents) if documents else ()
        put = put_under_tags if self._is_tagged else put_under_digest
        references = put(self._destination, manifest, described.media_type)
        self._progress.done()
        stored = tuple(BlobInfo(item.descriptor.digest, item.descriptor.size) for item in pushed)
        first = self._destination.references[0]
        return RegistryPushResult(
            image_id,
            ImageReference(first.name, first.tag),
            layers,
            platform,
            stored,
            references,
            described.digest,
            described.size,
            len(blobs.sent & {*stored}),
            len(blobs.mounted & {*stored}),
            bytes_sent,
            update=self._add_up_update(platform, stored),
            attached=attached,
        )

    def _add_up_update(self, platform: str, stored: Sequence[BlobInfo]) -> UpdateTotals | None:
        """Return what an update moves from the image that the first name named before; None if there was none."""
        first = self._destination.references[0]
        earlier = self._destination.repositories[0].earlier.get(first.tag)
        replaced = earlier.list_blobs(platform) if earlier else None
        return None if replaced is None else add_up_update(replaced, stored)
