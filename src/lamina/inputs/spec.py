"""The arguments of an image: one table for the command line, spec files and Python.

Invariant: the command line, a spec file and Python give the same `Spec` for the same values, and every value in a
`Spec` has been checked.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, TypedDict

from lamina.compression.compressors import NO_LAYER_COMPRESSION, LayerCompression, find_compressor, parse_jobs
from lamina.core.names import parse_datetime, parse_repository, parse_size, parse_tag
from lamina.errors import InvalidArgument
from lamina.formats import container_config
from lamina.formats.keys import PublicKey
from lamina.formats.platform import LINUX, Platform
from lamina.formats.tar import Owner
from lamina.inputs import pipelinefile
from lamina.inputs.old_arguments import IMAGE_ARGUMENTS, rename_old_arguments
from lamina.layering import DEFAULT_MAX_LAYERS, DEFAULT_STRATEGY, STRATEGIES, Pipeline
from lamina.messages.redaction import short_repr
from lamina.rootfs.entries import DeclaredEntry, Dir, File, Perm, Symlink, Xattr
from lamina.rootfs.extras import EXTRAS
from lamina.stores.store import Store, StoreLike, adapt_store

NOW = "now"
_DEFAULT_MOMENT = parse_datetime("1970-01-01T00:00:01Z")
_DEFAULT_OWNER = Owner(0, 0, "root", "root")
_MAX_ID = 2**32 - 2
_MAX_SECONDS = 1_000_000
# Characters that no command line or file name can hold. They can hold U+DC80 to U+DCFF, which stand for bytes that are
# not UTF-8 (PEP 383).
_FORBIDDEN_CHARACTERS = re.compile("[\0\ud800-\udc7f\udd00-\udfff]")


class StoreArguments(TypedDict, total=False):
    """Where store paths come from, and whose signatures are trusted; every function with stores takes these."""

    store: str | os.PathLike[str] | StoreLike | Sequence[str | os.PathLike[str]]
    trusted_keys: str | Sequence[str]
    verify_signatures: bool
    channel: str | None
    channel_lists: str | os.PathLike[str] | None
    offline: bool


class ImageArguments(StoreArguments, total=False):
    """The arguments of `lamina.stream_layered_image`, under their Python names."""

    name: str | None
    tag: str | None
    contents: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
    closure: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
    config: Mapping[str, Any]
    architecture: str | None
    created: str | datetime
    mtime: str | datetime
    uid: int
    gid: int
    uname: str
    gname: str
    max_layers: int
    layering: str | os.PathLike[str] | Sequence[Any] | Pipeline
    from_image: str | os.PathLike[str] | None
    max_unpacked_size: int | str | None
    inherit: str | Sequence[str]
    extra_commands: str
    fake_root_commands: str
    enable_fakechroot: bool
    time_limit: float | None
    sandbox: bool
    include_store_paths: bool
    include_nix_db: bool
    extras: str | Sequence[str]
    tree: Sequence[DeclaredEntry]
    search_path: str
    compressor: str | None
    layer_compression: str
    jobs: int | None
    layer_cache: str | os.PathLike[str] | None
    verify: bool
    embedded_store: str | os.PathLike[str] | None


@dataclass(frozen=True, slots=True)
class Spec:
    """The checked arguments of an image.

    Attributes:
        name: the image's name; None for the name of the first ROOT.
        tag: the image's tag; None for the first 32 hex digits of its ID.
        contents: the ROOTs, whose files are linked into the image's root.
        closure: ROOTs that are in the image without links.
        config: the container config, with sorted keys.
        architecture: the GOARCH, with a variant if it has one; None for that of the first program.
        created: the image's date; None for the current time.
        mtime: the date of its files; None for the current time.
        owner: the owner of its files.
        max_layers: the most layers, those of the base image and the customisation layer included.
        layering: the name of a strategy, or a pipeline.
        from_image: the base image, ``FILE`` or ``FILE#NAME``.
        max_unpacked_size: the most bytes that a base image may unpack to; None for the default.
        inherit: the keys of the base image's config that are taken over, beside ``Env``.
        extra_commands: a script that runs in the image's root.
        fake_root_commands: a script that runs in the image's root under fakeroot.
        enable_fakechroot: whether that script sees the image's root as ``/``.
        time_limit: the most seconds for each script; None for no limit.
        sandbox: whether scripts are confined.
        include_store_paths: whether store paths are in the image.
        include_nix_db: whether the image has a Nix database of its store paths.
        extras: the names of ready-made contents.
        tree: declared entries of the image's root.
        store: the stores to read from, the first asked first; none for this machine's own.
        search_path: where scripts look for programs, in the form of PATH.
        compressor: the compression of the output; None for what the output's name says.
        layer_compression: the compression of the layers.
        jobs: the number of processors to use; None for all.
        layer_cache: the file of the layer cache; None for no layer cache.
        verify: whether everything that the layer cache has is computed again and compared.
        trusted_keys: public keys of binary caches that are trusted beside that of cache.nixos.org.
        verify_signatures: whether a path without a trusted signature is refused.
        channel: the channel in which package names are looked up.
        offline: whether the network is left alone.
        embedded_store: the folder that keeps what binary caches sent; None for a temporary one.
        channel_lists: the folder that keeps the lists of channels; None for a temporary one.
        warnings: messages about the arguments.

    """

    name: str | None = None
    tag: str | None = None
    contents: tuple[str, ...] = ()
    closure: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    architecture: str | None = None
    created: datetime | None = _DEFAULT_MOMENT
    mtime: datetime | None = _DEFAULT_MOMENT
    owner: Owner = _DEFAULT_OWNER
    max_layers: int = DEFAULT_MAX_LAYERS
    layering: str | Pipeline = DEFAULT_STRATEGY
    from_image: str | None = None
    max_unpacked_size: int | None = None
    inherit: tuple[str, ...] = ()
    extra_commands: str = ""
    fake_root_commands: str = ""
    enable_fakechroot: bool = False
    time_limit: float | None = None
    sandbox: bool = True
    include_store_paths: bool = True
    include_nix_db: bool = False
    extras: tuple[str, ...] = ()
    tree: tuple[DeclaredEntry, ...] = ()
    store: tuple[str, ...] | Store = ()
    search_path: str = os.defpath
    compressor: str | None = None
    layer_compression: LayerCompression = NO_LAYER_COMPRESSION
    jobs: int | None = None
    layer_cache: str | None = None
    verify: bool = False
    trusted_keys: tuple[PublicKey, ...] = ()
    verify_signatures: bool = True
    channel: str | None = None
    offline: bool = False
    embedded_store: str | None = None
    channel_lists: str | None = None
    warnings: tuple[str, ...] = ()

    @classmethod
    def parse(cls, arguments: Mapping[str, Any]) -> Spec:
        """Check ``arguments`` and return them as a spec.

        Reads the file that ``layering`` names, if it names one.

        Raises:
            InvalidArgument: an argument is unknown or wrong; the message begins with its name.
            NotFound: the file is missing.
            FormatError: the file is not a pipeline in JSON.

        """
        arguments = rename_old_arguments(arguments, IMAGE_ARGUMENTS)
        unknown = [name for name in arguments if name not in ImageArguments.__annotations__]
        if unknown:
            raise InvalidArgument(
                "argument", got=short_repr(unknown[0]), expected=f"one of {', '.join(ImageArguments.__annotations__)}"
            )
        values: dict[str, Any] = {name: _PARSERS[name](name, value) for name, value in arguments.items()}
        owner = Owner(
            values.pop("uid", _DEFAULT_OWNER.uid),
            values.pop("gid", _DEFAULT_OWNER.gid),
            values.pop("uname", _DEFAULT_OWNER.uname),
            values.pop("gname", _DEFAULT_OWNER.gname),
        )
        config = values.get("config", {})
        return cls(**values, owner=owner, warnings=container_config.check(config))


def _parse_text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise _invalid_argument(name, value, "a text")
    if _FORBIDDEN_CHARACTERS.search(value):
        raise _invalid_argument(name, value, "a text without NUL and lone surrogates")
    return value


def _parse_optional_text(name: str, value: Any) -> str | None:
    return None if value is None else _parse_text(name, value)


def _parse_name(name: str, value: Any) -> str | None:
    return None if value is None else parse_repository(_parse_text(name, value))


def _parse_tag(name: str, value: Any) -> str | None:
    return None if value is None else parse_tag(_parse_text(name, value))


def _parse_architecture(name: str, value: Any) -> str | None:
    """Return the architecture as images have it (GOARCH), for any of its usual names."""
    if value is None:
        return None
    found = Platform.parse(_parse_text(name, value), name)
    if found.os != LINUX:
        raise _invalid_argument(name, value, "an architecture for Linux, which is what images are made for")
    return found.name


def _parse_texts(name: str, value: Any) -> tuple[str, ...]:
    items = [value] if isinstance(value, str | os.PathLike) else value
    if not isinstance(items, Iterable) or isinstance(items, Mapping | bytes):
        raise _invalid_argument(name, value, "a list of texts")
    return tuple(_parse_text(name, os.fspath(item) if isinstance(item, os.PathLike) else item) for item in items)


def _parse_flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _invalid_argument(name, value, "true or false")
    return value


def _parse_number(name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _invalid_argument(name, value, "a whole number")
    return value


def _parse_id(name: str, value: Any) -> int:
    number = int(value) if isinstance(value, str) and re.fullmatch("[0-9]{1,10}", value) else _parse_number(name, value)
    if not 0 <= number <= _MAX_ID:
        raise _invalid_argument(name, value, f"a number from 0 to {_MAX_ID}")
    return number


def _parse_moment(name: str, value: Any) -> datetime | None:
    if isinstance(value, date):  # TOML has dates and datetimes, and a datetime is a date
        return parse_datetime(value.isoformat())
    return None if value == NOW else parse_datetime(_parse_text(name, value))


def _parse_config(name: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _invalid_argument(name, value, "an object")
    config: dict[str, Any] = container_config.sort_keys(dict(value))
    return config


def _parse_layering(name: str, value: Any) -> str | Pipeline:
    if isinstance(value, Pipeline):
        return value
    if isinstance(value, list | tuple):
        return pipelinefile.resolve_links(Pipeline.parse(value, name))
    if isinstance(value, os.PathLike):
        return pipelinefile.load(_parse_text(name, os.fspath(value)))
    if isinstance(value, str) and value not in STRATEGIES and pipelinefile.looks_like_file(_parse_text(name, value)):
        return pipelinefile.load(value)
    if value not in tuple(STRATEGIES):
        raise _invalid_argument(
            name, value, f"one of {', '.join(STRATEGIES)}, a pipeline, or a JSON file that holds one"
        )
    return str(value)


def _parse_path(name: str, value: Any) -> str | None:
    if value == "":
        raise _invalid_argument(name, value, "the name of a file or folder")
    return None if value is None else _parse_text(name, os.fspath(value) if isinstance(value, os.PathLike) else value)


def _parse_inherit(name: str, value: Any) -> tuple[str, ...]:
    keys = _parse_words(name, value)
    unknown = [key for key in keys if key not in container_config.KEYS]
    if unknown:
        raise InvalidArgument(name, got=short_repr(unknown[0]), expected=f"some of {', '.join(container_config.KEYS)}")
    return keys


def _parse_extras(name: str, value: Any) -> tuple[str, ...]:
    words = _parse_words(name, value)
    unknown = [word for word in words if word not in EXTRAS]
    if unknown:
        raise InvalidArgument(name, got=short_repr(unknown[0]), expected=f"some of {', '.join(EXTRAS)}")
    return words


def _parse_words(name: str, value: Any) -> tuple[str, ...]:
    """Return the words of a list, or of a text with commas between them, each once."""
    texts = value.split(",") if isinstance(value, str) else _parse_texts(name, value)
    return tuple(dict.fromkeys(_parse_text(name, text).strip() for text in texts))


def _parse_size(name: str, value: Any) -> int | None:
    return None if value is None else parse_size(name, value)


def _parse_seconds(name: str, value: Any) -> float | None:
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= _MAX_SECONDS:
        raise _invalid_argument(name, value, f"a number of seconds, more than 0 and at most {_MAX_SECONDS}")
    return float(value)


def _parse_compressor(name: str, value: Any) -> str | None:
    if value is not None:
        find_compressor(value)
    return None if value is None else _parse_text(name, value)


def _parse_layer_compression(name: str, value: Any) -> LayerCompression:
    return value if isinstance(value, LayerCompression) else LayerCompression.parse(_parse_text(name, value))


def _parse_jobs(name: str, value: Any) -> int | None:
    return None if value is None else parse_jobs(value)


_ENTRY_PARSERS: Mapping[str, Callable[[str], DeclaredEntry]] = {
    "dir": Dir.parse,
    "file": File.parse,
    "symlink": Symlink.parse,
    "perm": Perm.parse,
    "xattr": Xattr.parse,
}


def _parse_tree(name: str, value: Any) -> tuple[DeclaredEntry, ...]:
    if not isinstance(value, Iterable) or isinstance(value, str | Mapping):
        raise _invalid_argument(name, value, "a list of entries")
    return tuple(_parse_entry(name, item) for item in value)


def _parse_entry(name: str, item: Any) -> DeclaredEntry:
    if isinstance(item, Dir | File | Symlink | Perm | Xattr):
        return item
    if isinstance(item, Mapping) and len(item) == 1:
        ((kind, text),) = item.items()
        if kind in _ENTRY_PARSERS:
            return _ENTRY_PARSERS[kind](_parse_text(f"{name}.{kind}", text))
    raise _invalid_argument(
        name,
        item,
        "a Dir, File, Symlink, Perm or Xattr, or {dir = …}, {file = …}, {symlink = …}, {perm = …}, {xattr = …}",
    )


def _parse_store(name: str, value: Any) -> tuple[str, ...] | Store:
    return adapt_store(value) if isinstance(value, StoreLike) else _parse_texts(name, value)


def _parse_keys(name: str, value: Any) -> tuple[PublicKey, ...]:
    return tuple(map(PublicKey.parse, _parse_texts(name, value)))


def _invalid_argument(name: str, value: Any, expected: str) -> InvalidArgument:
    return InvalidArgument(name, got=short_repr(value), expected=expected)


_PARSERS: Mapping[str, Callable[[str, Any], Any]] = {
    "name": _parse_name,
    "tag": _parse_tag,
    "contents": _parse_texts,
    "closure": _parse_texts,
    "config": _parse_config,
    "architecture": _parse_architecture,
    "created": _parse_moment,
    "mtime": _parse_moment,
    "uid": _parse_id,
    "gid": _parse_id,
    "uname": _parse_text,
    "gname": _parse_text,
    "max_layers": _parse_number,
    "layering": _parse_layering,
    "from_image": _parse_path,
    "max_unpacked_size": _parse_size,
    "inherit": _parse_inherit,
    "extra_commands": _parse_text,
    "fake_root_commands": _parse_text,
    "enable_fakechroot": _parse_flag,
    "time_limit": _parse_seconds,
    "sandbox": _parse_flag,
    "include_store_paths": _parse_flag,
    "include_nix_db": _parse_flag,
    "extras": _parse_extras,
    "tree": _parse_tree,
    "store": _parse_store,
    "search_path": _parse_text,
    "compressor": _parse_compressor,
    "layer_compression": _parse_layer_compression,
    "jobs": _parse_jobs,
    "layer_cache": _parse_path,
    "verify": _parse_flag,
    "trusted_keys": _parse_keys,
    "verify_signatures": _parse_flag,
    "channel": _parse_optional_text,
    "offline": _parse_flag,
    "embedded_store": _parse_path,
    "channel_lists": _parse_path,
}
