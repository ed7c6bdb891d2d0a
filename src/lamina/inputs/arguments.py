"""The arguments of the public functions, for type checkers.

A type checker needs the names and types written out. A test compares them with the declarations in
`lamina.inputs.spec`, which have everything else.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypedDict

from lamina.layering import Pipeline
from lamina.rootfs.entries import DeclaredEntry
from lamina.stores.store import StoreLike

StrPath = str | os.PathLike[str]


class StoreArguments(TypedDict, total=False):
    """Where store paths come from, and whose signatures are trusted; every function with stores takes these."""

    store: StrPath | StoreLike | Sequence[StrPath]
    trusted_keys: str | Sequence[str]
    verify_signatures: bool
    channel: str | None
    channel_lists: StrPath | None
    offline: bool


class ImageArguments(StoreArguments, total=False):
    """The arguments of `lamina.stream_layered_image`, under their Python names."""

    contents: StrPath | Iterable[StrPath]
    closure: StrPath | Iterable[StrPath]
    from_image: StrPath | None
    max_unpacked_size: int | str | None
    max_layers: int
    layering: StrPath | Sequence[Any] | Pipeline
    include_store_paths: bool
    config: Mapping[str, Any]
    name: str | None
    tag: str | None
    architecture: str | None
    created: str | datetime
    mtime: str | datetime
    uid: int
    gid: int
    uname: str
    gname: str
    extra_commands: str
    inherit: str | Sequence[str]
    fake_root_commands: str
    enable_fakechroot: bool
    include_nix_db: bool
    time_limit: float | None
    sandbox: bool
    extras: str | Sequence[str]
    tree: Sequence[DeclaredEntry]
    compressor: str | None
    layer_compression: str
    jobs: int | None
    layer_cache: StrPath | None
    verify: bool
    search_path: str
    embedded_store: StrPath | None
