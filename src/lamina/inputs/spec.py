"""What an image is to be, in the words of the arguments: one table for every way in.

Invariant: the command line, a spec file and Python give the same `Spec` for the same words, and a `Spec` holds
nothing that has not been checked.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, TypedDict

from lamina.compression.compressors import NO_LAYER_COMPRESSION, LayerCompression, compressor_by_name, parse_jobs
from lamina.core.names import parse_datetime, parse_repository, parse_size, parse_tag
from lamina.errors import InvalidArgument
from lamina.formats import container_config
from lamina.formats.keys import PublicKey
from lamina.formats.platform import LINUX, Platform
from lamina.formats.tar import Owner
from lamina.inputs import pipelinefile
from lamina.layering import DEFAULT_MAX_LAYERS, DEFAULT_STRATEGY, STRATEGIES, Pipeline
from lamina.messages.redaction import short_repr
from lamina.rootfs.entries import DeclaredEntry, Dir, File, Perm, Symlink, Xattr
from lamina.rootfs.extras import EXTRAS
from lamina.stores.protocols import Store

NOW = "now"
_DEFAULT_MOMENT = parse_datetime("1970-01-01T00:00:01Z")
_DEFAULT_OWNER = Owner(0, 0, "root", "root")
_MAX_ID = 2**32 - 2
_MAX_SECONDS = 1_000_000
# What no command line and no file name holds. U+DC80 to U+DCFF they do: bytes that are not UTF-8 (PEP 383).
_FORBIDDEN_CHARACTERS = re.compile("[\0\ud800-\udc7f\udd00-\udfff]")


class StoreArguments(TypedDict, total=False):
    """Where store paths come from, and who is believed: the same arguments for whatever takes any."""

    store: str | os.PathLike[str] | Store | Sequence[str | os.PathLike[str]]
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


OLD_NAMES = {"ledger": "layer_cache"}
"""Arguments that had another name, which is still taken: old name → name."""


@dataclass(frozen=True, slots=True)
class Spec:
    """An image to be made. ``created`` and ``mtime`` are None for now; ``max_unpacked_size`` is how many bytes a base
    image may unpack to, None for the default; ``inherit`` names the keys of the base image's config that are taken
    over, ``extras`` the ready-made contents; ``time_limit`` is in seconds for each script, None for none; ``sandbox``
    says whether scripts are confined; ``search_path`` is where scripts look for programs; ``compressor`` None is what
    the output's name asks for, ``jobs`` None as many processors as there are; ``layer_cache`` None is to remember
    nothing; with ``verify`` what it has is found out anew and compared; ``trusted_keys`` are those of binary caches,
    beside that of cache.nixos.org; ``channel`` is where names are looked up; ``offline`` is to ask nobody over the
    network; ``embedded_store`` is the folder that keeps what binary caches gave, None for as long as it is needed;
    ``channel_lists`` likewise for the lists of channels; ``warnings`` is what was odd about the arguments.
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
        """The spec that ``arguments`` are; raises `InvalidArgument` with the argument's name.

        Reads the file that ``layering`` names, if it does; raises `NotFound` and `FormatError` for that.
        """
        arguments = _with_new_names(arguments)
        unknown = [name for name in arguments if name not in ImageArguments.__annotations__]
        if unknown:
            raise InvalidArgument(
                f"argument: got {short_repr(unknown[0])}, expected one of {', '.join(ImageArguments.__annotations__)}"
            )
        given: dict[str, Any] = {name: _PARSERS[name](name, value) for name, value in arguments.items()}
        owner = Owner(
            given.pop("uid", _DEFAULT_OWNER.uid),
            given.pop("gid", _DEFAULT_OWNER.gid),
            given.pop("uname", _DEFAULT_OWNER.uname),
            given.pop("gname", _DEFAULT_OWNER.gname),
        )
        config = given.get("config", {})
        return cls(**given, owner=owner, warnings=container_config.check(config))


def _with_new_names(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return ``arguments`` with those renamed that are given by an old name; raise `InvalidArgument` for both names."""
    for old in OLD_NAMES.keys() & arguments:
        new = OLD_NAMES[old]
        if new in arguments:
            raise InvalidArgument(f"{old}: got it and {new}, expected one: it is the old name of the same argument")
        arguments = {OLD_NAMES.get(name, name): value for name, value in arguments.items()}
    return arguments


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise _invalid(name, value, "a text")
    if _FORBIDDEN_CHARACTERS.search(value):
        raise _invalid(name, value, "a text without NUL and lone surrogates")
    return value


def _optional_text(name: str, value: Any) -> str | None:
    return None if value is None else _text(name, value)


def _name(name: str, value: Any) -> str | None:
    return None if value is None else parse_repository(_text(name, value))


def _tag(name: str, value: Any) -> str | None:
    return None if value is None else parse_tag(_text(name, value))


def _architecture(name: str, value: Any) -> str | None:
    """The architecture as images carry it, whatever the word for it."""
    if value is None:
        return None
    found = Platform.parse(_text(name, value), name)
    if found.os != LINUX:
        raise _invalid(name, value, "an architecture for Linux, which is what images are made for")
    return found.name


def _texts(name: str, value: Any) -> tuple[str, ...]:
    items = [value] if isinstance(value, str | os.PathLike) else value
    if not isinstance(items, Iterable) or isinstance(items, Mapping | bytes):
        raise _invalid(name, value, "a list of texts")
    return tuple(_text(name, os.fspath(item) if isinstance(item, os.PathLike) else item) for item in items)


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _invalid(name, value, "true or false")
    return value


def _number(name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _invalid(name, value, "a whole number")
    return value


def _id(name: str, value: Any) -> int:
    number = int(value) if isinstance(value, str) and re.fullmatch("[0-9]{1,10}", value) else _number(name, value)
    if not 0 <= number <= _MAX_ID:
        raise _invalid(name, value, f"a number from 0 to {_MAX_ID}")
    return number


def _moment(name: str, value: Any) -> datetime | None:
    if isinstance(value, date):  # TOML has both, and a datetime is a date
        return parse_datetime(value.isoformat())
    return None if value == NOW else parse_datetime(_text(name, value))


def _config(name: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _invalid(name, value, "an object")
    sort_keys: dict[str, Any] = container_config.sort_keys(dict(value))
    return sort_keys


def _layering(name: str, value: Any) -> str | Pipeline:
    if isinstance(value, Pipeline):
        return value
    if isinstance(value, list | tuple):
        return pipelinefile.resolve_links(Pipeline.parse(value, name))
    if isinstance(value, os.PathLike):
        return pipelinefile.load(_text(name, os.fspath(value)))
    if isinstance(value, str) and value not in STRATEGIES and pipelinefile.looks_like_file(_text(name, value)):
        return pipelinefile.load(value)
    if value not in tuple(STRATEGIES):
        raise _invalid(name, value, f"one of {', '.join(STRATEGIES)}, a pipeline, or a JSON file that holds one")
    return str(value)


def _path(name: str, value: Any) -> str | None:
    if value == "":
        raise _invalid(name, value, "the name of a file or folder")
    return None if value is None else _text(name, os.fspath(value) if isinstance(value, os.PathLike) else value)


def _inherit(name: str, value: Any) -> tuple[str, ...]:
    keys = _words(name, value)
    unknown = [key for key in keys if key not in container_config.KEYS]
    if unknown:
        raise InvalidArgument(
            f"{name}: got {short_repr(unknown[0])}, expected some of {', '.join(container_config.KEYS)}"
        )
    return keys


def _extras(name: str, value: Any) -> tuple[str, ...]:
    words = _words(name, value)
    unknown = [word for word in words if word not in EXTRAS]
    if unknown:
        raise InvalidArgument(f"{name}: got {short_repr(unknown[0])}, expected some of {', '.join(EXTRAS)}")
    return words


def _words(name: str, value: Any) -> tuple[str, ...]:
    """A list of words, or a text with commas between them; each once."""
    texts = value.split(",") if isinstance(value, str) else _texts(name, value)
    return tuple(dict.fromkeys(_text(name, text).strip() for text in texts))


def _size(name: str, value: Any) -> int | None:
    return None if value is None else parse_size(name, value)


def _seconds(name: str, value: Any) -> float | None:
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= _MAX_SECONDS:
        raise _invalid(name, value, f"a number of seconds, more than 0 and at most {_MAX_SECONDS}")
    return float(value)


def _compressor(name: str, value: Any) -> str | None:
    if value is not None:
        compressor_by_name(value)
    return None if value is None else _text(name, value)


def _layer_compression(name: str, value: Any) -> LayerCompression:
    return value if isinstance(value, LayerCompression) else LayerCompression.parse(_text(name, value))


def _jobs(name: str, value: Any) -> int | None:
    return None if value is None else parse_jobs(value)


_ENTRIES: Mapping[str, Callable[[str], DeclaredEntry]] = {
    "dir": Dir.parse,
    "file": File.parse,
    "symlink": Symlink.parse,
    "perm": Perm.parse,
    "xattr": Xattr.parse,
}


def _tree(name: str, value: Any) -> tuple[DeclaredEntry, ...]:
    if not isinstance(value, Iterable) or isinstance(value, str | Mapping):
        raise _invalid(name, value, "a list of entries")
    return tuple(_entry(name, item) for item in value)


def _entry(name: str, item: Any) -> DeclaredEntry:
    if isinstance(item, Dir | File | Symlink | Perm | Xattr):
        return item
    if isinstance(item, Mapping) and len(item) == 1:
        ((kind, text),) = item.items()
        if kind in _ENTRIES:
            return _ENTRIES[kind](_text(f"{name}.{kind}", text))
    raise _invalid(
        name,
        item,
        "a Dir, File, Symlink, Perm or Xattr, or {dir = …}, {file = …}, {symlink = …}, {perm = …}, {xattr = …}",
    )


def _store(name: str, value: Any) -> tuple[str, ...] | Store:
    if hasattr(value, "query") and hasattr(value, "nodes"):
        store: Store = value
        return store
    return _texts(name, value)


def _keys(name: str, value: Any) -> tuple[PublicKey, ...]:
    return tuple(map(PublicKey.parse, _texts(name, value)))


def _invalid(name: str, value: Any, expected: str) -> InvalidArgument:
    return InvalidArgument(f"{name}: got {short_repr(value)}, expected {expected}")


_PARSERS: Mapping[str, Callable[[str, Any], Any]] = {
    "name": _name,
    "tag": _tag,
    "contents": _texts,
    "closure": _texts,
    "config": _config,
    "architecture": _architecture,
    "created": _moment,
    "mtime": _moment,
    "uid": _id,
    "gid": _id,
    "uname": _text,
    "gname": _text,
    "max_layers": _number,
    "layering": _layering,
    "from_image": _path,
    "max_unpacked_size": _size,
    "inherit": _inherit,
    "extra_commands": _text,
    "fake_root_commands": _text,
    "enable_fakechroot": _flag,
    "time_limit": _seconds,
    "sandbox": _flag,
    "include_store_paths": _flag,
    "include_nix_db": _flag,
    "extras": _extras,
    "tree": _tree,
    "store": _store,
    "search_path": _text,
    "compressor": _compressor,
    "layer_compression": _layer_compression,
    "jobs": _jobs,
    "layer_cache": _path,
    "verify": _flag,
    "trusted_keys": _keys,
    "verify_signatures": _flag,
    "channel": _optional_text,
    "offline": _flag,
    "embedded_store": _path,
    "channel_lists": _path,
}
