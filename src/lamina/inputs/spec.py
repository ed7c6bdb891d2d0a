"""The checked arguments of an image.

Invariant: the command line, a spec file and Python give the same `Spec` for the same values, and every value in a
`Spec` has been checked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from lamina.compression.compressors import LayerCompression
from lamina.errors import InvalidArgument
from lamina.formats import container_config
from lamina.formats.annotations import Annotations
from lamina.formats.docker import MAX_LAYERS
from lamina.formats.keys import PublicKey
from lamina.formats.media_types import MediaTypes
from lamina.formats.tar import Owner
from lamina.inputs.arguments import ARGUMENTS, StoreArguments
from lamina.inputs.old_arguments import rename_old_arguments
from lamina.inputs.platforms import PlatformRoots, select_platform
from lamina.inputs.siblings import Siblings
from lamina.layering import Layering, check_uses_rates
from lamina.layering.known_updates import GivenRates
from lamina.messages.redaction import short_repr
from lamina.messages.suggestions import format_suggestion
from lamina.rootfs.entries import DeclaredEntry
from lamina.stores.store import Store

if TYPE_CHECKING:  # most images add no user
    from lamina.rootfs.users import User


@dataclass(frozen=True, slots=True)
class StoreSpec:
    """The checked `StoreArguments`."""

    store: tuple[str, ...] | Store
    trusted_keys: tuple[PublicKey, ...]
    verify_signatures: bool
    channel: str | None
    channel_lists: str | None
    offline: bool

    @classmethod
    def parse(cls, arguments: Mapping[str, Any]) -> StoreSpec:
        """Check ``arguments`` and return them as a spec.

        Raises `InvalidArgument` if an argument is unknown or wrong; the message begins with its name.
        """
        return cls(**_parse_arguments(arguments, StoreArguments.__annotations__))


@dataclass(frozen=True, slots=True)
class Spec(StoreSpec):
    """The checked `ImageArguments` of one image: ``architecture`` and ``contents`` are those of its platform.

    ``platforms`` and ``roots`` are therefore empty. ``created`` and ``mtime`` are None for the current time. Other
    arguments are None if the caller gave None.
    """

    contents: tuple[str, ...]
    roots: PlatformRoots
    closure: tuple[str, ...]
    from_image: str | None
    lock_file: str | None
    locked: bool
    max_unpacked_size: int | None
    max_layers: int
    layering: Layering
    layers: tuple[tuple[str, ...], ...]
    history: tuple[str, ...]
    rates: GivenRates
    reserve: int
    siblings: Siblings
    include_store_paths: bool
    config: Mapping[str, Any]
    name: str | None
    tag: str | None
    architecture: str | None
    platforms: tuple[str, ...]
    created: datetime | None
    annotations: Annotations
    mtime: datetime | None
    uid: int
    gid: int
    uname: str
    gname: str
    extra_commands: str
    inherit: tuple[str, ...]
    fake_root_commands: str
    enable_fakechroot: bool
    include_nix_db: bool
    time_limit: float | None
    sandbox: bool
    extras: tuple[str, ...]
    add_user: tuple[User, ...]
    tree: tuple[DeclaredEntry, ...]
    compressor: str | None
    format: str | None
    layer_compression: LayerCompression | None
    media_types: MediaTypes | None
    jobs: int | None
    layer_cache: str | None
    local_layer_cache: str | None
    blob_cache: str | None
    local_blob_cache: str | None
    verify: bool
    insecure: bool
    search_path: str
    embedded_store: str | None

    @classmethod
    def parse(cls, arguments: Mapping[str, Any]) -> Spec:
        """Check ``arguments`` and return them as a spec.

        If ``layering`` or ``rates`` names a file, the file is read.

        Raises:
            InvalidArgument: an argument is unknown or wrong, two contradict each other, or there are several platforms;
                the message begins with a name.
            InputError: the file is missing, or cannot be read.
            FormatError: the file is not a pipeline in JSON.

        """
        spec = cls(**_parse_arguments(select_platform(arguments), ARGUMENTS))
        spec._check_media_types()
        for name in ("history", "rates"):
            if getattr(spec, name):
                check_uses_rates(spec.layering, name)
        return spec

    def _check_media_types(self) -> None:
        """Raise `InvalidArgument` if the media types cannot express the annotations or the compression of layers."""
        if self.media_types is None:
            return
        if self.layer_compression:
            self.media_types.check_codec("layer_compression", self.layer_compression.codec)
        if self.annotations and not self.media_types.has_annotations:
            got = f"annotations and {self.media_types.name}'s media types, which have none"
            raise InvalidArgument("annotations", got, "one of them", hint="--media-types oci is the default")

    @property
    def layer_limit(self) -> int:
        """The most layers that the image may have: ``max_layers``, or fewer to leave room for ``reserve`` in docker."""
        return min(self.max_layers, MAX_LAYERS - self.reserve) if self.reserve else self.max_layers

    @property
    def owner(self) -> Owner:
        """The owner of the image's files."""
        return Owner(self.uid, self.gid, self.uname, self.gname)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Messages about the container config."""
        return container_config.check(self.config)


def _parse_arguments(arguments: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return the checked values of the arguments ``names``; an argument that is not given has its default."""
    table = {name: ARGUMENTS[name] for name in names}
    old_names = {old: name for name, declared in table.items() for old in declared.old_names}
    given = rename_old_arguments(arguments, old_names)
    unknown = [name for name in given if name not in table]
    if unknown:
        hint = format_suggestion(unknown[0], table) or "help() of the function lists its arguments"
        raise InvalidArgument(
            short_repr(unknown[0]), "no argument of that name", "one that the function takes", hint=hint
        )
    return {name: declared.parse(name, given.get(name, declared.default)) for name, declared in table.items()}
