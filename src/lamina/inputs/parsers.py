"""The parsers of arguments: each takes an argument's name and a value, and returns the checked value.

The type of ``value`` is what the argument documents. Values from spec files and from untyped callers can be anything,
so every parser checks that too. A parser imports what it needs when it runs, because the help of every command imports
this module.

The name is the one under which the value was given: that of the argument in Python, an option such as ``--jobs``, or a
key of a spec file. A parser also takes what it returns, apart from the None of `parse_moment`, so that a value can be
checked under the name of its option and then passed on.

Raises `InvalidArgument` for a wrong value; the message begins with the name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lamina.errors import InvalidArgument, PlanError
from lamina.messages.redaction import holds_secret, short_repr
from lamina.messages.suggestions import format_suggestion

if TYPE_CHECKING:
    from datetime import datetime

    from lamina.compression.compressors import LayerCompression
    from lamina.formats.annotations import Annotations
    from lamina.formats.keys import PublicKey
    from lamina.formats.media_types import MediaTypes
    from lamina.inputs.arguments import StrPath
    from lamina.layering import Layering, LayeringFunction, Pipeline
    from lamina.layering.known_updates import GivenRates
    from lamina.rootfs.entries import DeclaredEntry
    from lamina.rootfs.users import User
    from lamina.stores.store import Store, StoreLike

NOW = "now"
_MAX_ID = 2**32 - 2
_MAX_SECONDS = 1_000_000
# Characters that no command line or file name can hold. They can hold U+DC80 to U+DCFF, which stand for bytes that are
# not UTF-8 (PEP 383).
_FORBIDDEN_CHARACTERS = "[\0\ud800-\udc7f\udd00-\udfff]"


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Give an error about the value of an argument, which the block parses, the name of the argument."""
    try:
        yield
    except InvalidArgument as error:
        error.subject = name
        raise


def parse_text(name: str, value: str) -> str:
    """Parse a string without NUL and lone surrogates."""
    if not isinstance(value, str):
        raise _invalid_argument(name, value, "a string")
    if re.search(_FORBIDDEN_CHARACTERS, value):
        raise _invalid_argument(name, value, "a string without NUL and lone surrogates")
    return value


def parse_optional_text(name: str, value: str | None) -> str | None:
    """Parse a string or None."""
    return None if value is None else parse_text(name, value)


def parse_path(name: str, value: StrPath | None) -> str | None:
    """Parse the name of a file or folder, or None."""
    if value == "":
        raise _invalid_argument(name, value, "the name of a file or folder")
    return None if value is None else parse_text(name, os.fspath(value) if isinstance(value, os.PathLike) else value)


def parse_cache_path(name: str, value: StrPath | None) -> str | None:
    """Parse the file or folder of a cache, or None; refuse a name that looks like a secret, so none of it is made."""
    path = parse_path(name, value)
    if path is not None and holds_secret(path) and not os.path.lexists(path):
        raise _invalid_argument(name, path, "the name of a file or folder")
    return path


def parse_shared_cache(name: str, value: StrPath | None) -> str | None:
    """Parse the file, the folder or the URL of a cache, or None."""
    if not isinstance(value, str) or not is_shared_cache(value):
        return parse_cache_path(name, value)
    from lamina.transports.open import check_writable_url

    with _named(name):
        return check_writable_url(parse_text(name, value))


def is_shared_cache(place: str) -> bool:
    """Return whether ``place`` is the URL of a cache, and not a file or folder of this machine."""
    return "://" in place


def parse_texts(name: str, value: StrPath | Iterable[StrPath]) -> tuple[str, ...]:
    """Parse a list of strings and paths, or a single one."""
    items = [value] if isinstance(value, str | os.PathLike) else value
    if not isinstance(items, Iterable) or isinstance(items, Mapping | bytes):
        raise _invalid_argument(name, value, "a list of strings")
    return tuple(parse_text(name, os.fspath(item) if isinstance(item, os.PathLike) else item) for item in items)


def parse_boolean(name: str, value: bool) -> bool:
    """Parse true or false."""
    if not isinstance(value, bool):
        raise _invalid_argument(name, value, "true or false")
    return value


def parse_integer(name: str, value: int) -> int:
    """Parse a whole number."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise _invalid_argument(name, value, "a whole number")
    return value


def parse_layer_count(name: str, value: int) -> int:
    """Parse the most layers of an image; raise `PlanError` for none. Planning checks how many it needs."""
    if parse_integer(name, value) < 1:
        raise PlanError(name, value, "at least 2 layers: one for the image's root and one for store paths")
    return value


def parse_reserve(name: str, value: int) -> int:
    """Parse a number of layers to leave room for; raise `PlanError` if docker could load no image with them."""
    from lamina.formats.docker import MAX_LAYERS

    most = MAX_LAYERS - 2
    if not 0 <= parse_integer(name, value) <= most:
        raise PlanError(name, value, f"0 to {most} layers: docker loads {MAX_LAYERS}, and an image has two at least")
    return value


def parse_layer_lists(name: str, value: Sequence[str | Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    """Parse the lists of patterns of layers; a list may also be a string with commas between its patterns."""
    if isinstance(value, str | Mapping) or not isinstance(value, Iterable):
        raise _invalid_argument(name, value, 'a list of lists of patterns, such as [["python3", "numpy-*"], ["app-*"]]')
    return tuple(_parse_layer_list(f"{name}[{number}]", item) for number, item in enumerate(value))


def _parse_layer_list(name: str, value: str | Sequence[str]) -> tuple[str, ...]:
    from lamina.layering.layer_lists import PathPattern

    texts = tuple(map(str.strip, value.split(","))) if isinstance(value, str) else parse_texts(name, value)
    if not texts:
        raise _invalid_argument(name, value, "a list of at least one pattern")
    return tuple(str(PathPattern.parse(text, name)) for text in texts)


def parse_rates(name: str, value: StrPath | Mapping[str, float]) -> GivenRates:
    """Parse a number for each pattern of store paths, or read them from a file. Raises what `rates_file.load` does."""
    from lamina.layering.known_updates import parse_rates as parse

    if isinstance(value, str | os.PathLike):
        from lamina.inputs.rates_file import load

        return load(parse_path(name, value) or "", name)
    pairs: Any = tuple(value.items()) if isinstance(value, Mapping) else value
    if isinstance(pairs, tuple) and all(isinstance(pair, tuple) and len(pair) == 2 for pair in pairs):
        return parse(((parse_text(name, pattern), rate) for pattern, rate in pairs), name)
    raise _invalid_argument(name, value, 'a file, or an object of patterns and their rates, such as {"glibc": 0.5}')


def parse_id(name: str, value: int) -> int:
    """Parse the number of a user or group, which may also be a string of digits."""
    number = int(value) if isinstance(value, str) and re.fullmatch("[0-9]{1,10}", value) else parse_integer(name, value)
    if not 0 <= number <= _MAX_ID:
        raise _invalid_argument(name, value, f"a number from 0 to {_MAX_ID}")
    return number


def parse_count(name: str, value: int | None, least: int = 1) -> int | None:
    """Parse a whole number that is ``least`` at least, or None."""
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < least):
        raise _invalid_argument(name, value, f"a whole number, at least {least}")
    return value


def parse_days(name: str, value: int | None) -> int | None:
    """Parse a number of days, or None."""
    return parse_count(name, value, 0)


def parse_nar_compression(name: str, value: str) -> str:
    """Check the compression of NARs, and return it unchanged."""
    from lamina.compression.nar import NarCompression

    with _named(name):
        NarCompression.parse(value)
    return value


def parse_seconds(name: str, value: float | None) -> float | None:
    """Parse a number of seconds, or None."""
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= _MAX_SECONDS:
        raise _invalid_argument(name, value, f"a number of seconds, more than 0 and at most {_MAX_SECONDS}")
    return float(value)


def parse_size(name: str, value: int | str | None) -> int | None:
    """Parse a size in bytes, as a number or as a string such as ``4GiB``, or None."""
    from lamina.core import names

    return None if value is None else names.parse_size(name, value)


def parse_name(name: str, value: str | None) -> str | None:
    """Parse the name of an image, without a tag, or None."""
    from lamina.core.names import parse_repository

    if value is None:
        return None
    _, colon, tag = parse_text(name, value).rpartition(":")
    if colon and "/" not in tag:
        raise InvalidArgument(name, short_repr(value), "a name without a tag", hint=_make_name_hint(name, value))
    with _named(name):
        return parse_repository(value)


def parse_tag(name: str, value: str | None) -> str | None:
    """Parse the tag of an image, or None."""
    from lamina.core import names

    if value is None:
        return None
    if ":" in parse_text(name, value):
        raise InvalidArgument(name, short_repr(value), "a tag without a name", hint=_make_name_hint(name, value))
    with _named(name):
        return names.parse_tag(value)


def _make_name_hint(name: str, value: str) -> str:
    """Return how to give the name and the tag in ``value``; nothing of a value that is no NAME:TAG is repeated."""
    from lamina.core.names import ImageReference

    try:
        reference = ImageReference.parse(value)
    except InvalidArgument:
        return ""
    if name.startswith("--"):
        return f"--name {reference.repository} --tag {reference.tag}"
    return f'name = "{reference.repository}" and tag = "{reference.tag}"'


def parse_moment(name: str, value: str | datetime) -> datetime | None:
    """Parse a date or time; return None for ``now``."""
    from datetime import date

    from lamina.core.names import parse_datetime

    if value == NOW:
        return None
    # TOML has dates and datetimes, and a datetime is a date.
    if not isinstance(value, date | str):
        raise _invalid_argument(name, value, "a date, as a string or a datetime")
    text = value.isoformat() if isinstance(value, date) else parse_text(name, value)
    with _named(name):
        return parse_datetime(text)


def parse_architecture(name: str, value: str | None) -> str | None:
    """Parse any usual name of an architecture, and return the one that images use (GOARCH)."""
    from lamina.formats.platform import LINUX, Platform

    if value is None:
        return None
    found = Platform.parse(parse_text(name, value), name)
    if found.os != LINUX:
        raise _invalid_argument(name, value, "an architecture for Linux, which is what images are made for")
    return found.name


def parse_platform(name: str, value: str | None) -> str | None:
    """Check the name of a platform, and return it unchanged, or None."""
    from lamina.formats.platform import Platform

    if value is not None:
        Platform.parse(parse_text(name, value), name)
    return value


def parse_config(_name: str, value: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Parse a container config, and return it with sorted keys."""
    from lamina.formats import container_config

    return container_config.parse(value)


def parse_inherit(name: str, value: str | Sequence[str]) -> tuple[str, ...]:
    """Parse keys of a container config."""
    from lamina.formats.container_config import KEYS

    return _parse_words(name, value, KEYS)


def parse_extras(name: str, value: str | Sequence[str]) -> tuple[str, ...]:
    """Parse the names of ready-made contents."""
    from lamina.rootfs.extras import EXTRAS

    return _parse_words(name, value, EXTRAS)


def _parse_words(name: str, value: str | Sequence[str], known: Iterable[str]) -> tuple[str, ...]:
    """Return the words of a list, or of a string with commas between them, each once."""
    texts = value.split(",") if isinstance(value, str) else parse_texts(name, value)
    words = tuple(dict.fromkeys(parse_text(name, text).strip() for text in texts))
    unknown = [word for word in words if word not in known]
    if unknown:
        hint = format_suggestion(unknown[0], known)
        raise InvalidArgument(name, short_repr(unknown[0]), f"some of {', '.join(known)}", hint=hint)
    return words


def parse_layering(name: str, value: StrPath | Sequence[Any] | Pipeline | LayeringFunction) -> Layering:
    """Parse the name of a strategy, a pipeline or a function; a file that holds a pipeline is read, but no image."""
    from lamina.inputs import pipelinefile
    from lamina.layering import STRATEGIES, STRATEGY_NAMES, PinnedStrategy, Pipeline
    from lamina.layering.pinned import PINNED

    if isinstance(value, Pipeline | PinnedStrategy) or callable(value):  # the command line has parsed it already
        return value
    if isinstance(value, str) and f"{value}:".startswith(PINNED):
        return PinnedStrategy(_parse_pinned(name, value))
    if isinstance(value, list | tuple):
        return pipelinefile.resolve_links(Pipeline.parse(value, name))
    if isinstance(value, os.PathLike):
        return pipelinefile.load(parse_text(name, os.fspath(value)))
    if isinstance(value, str) and value not in STRATEGIES and pipelinefile.looks_like_file(parse_text(name, value)):
        return pipelinefile.load(value)
    if value not in tuple(STRATEGIES):
        expected = f"one of {', '.join(STRATEGY_NAMES)}, a pipeline, or a JSON file that holds one"
        raise InvalidArgument(name, short_repr(value), expected, hint=format_suggestion(str(value), STRATEGIES))
    return str(value)


def _parse_pinned(name: str, value: str) -> str:
    image = parse_text(name, value).partition(":")[2]
    if not image:
        hint = "pinned:app.tar keeps the layers of an image file, and pinned:registry.example/app:1 of another image"
        raise InvalidArgument(name, f"{short_repr(value)} without an image", "pinned:IMAGE", hint=hint)
    return image


def parse_compressor(name: str, value: str | None) -> str | None:
    """Parse the name of a compressor, or None."""
    from lamina.compression.compressors import find_compressor

    if value is not None:
        with _named(name):
            find_compressor(value)
    return value


def parse_format(name: str, value: str | None) -> str | None:
    """Parse the format of an image file, or None for that of the destination."""
    if value is None:
        return None
    from lamina.images.writers.archives import FORMATS

    if value not in FORMATS:
        expected = f"one of {', '.join(FORMATS)}"
        raise InvalidArgument(name, short_repr(value), expected, hint=format_suggestion(str(value), FORMATS))
    return value


def parse_layer_compression(name: str, value: str | None) -> LayerCompression | None:
    """Parse the compression of layers, or None for that of the destination."""
    from lamina.compression.compressors import LayerCompression

    if value is None or isinstance(value, LayerCompression):
        return value
    with _named(name):
        return LayerCompression.parse(value)


def parse_annotations(name: str, value: Mapping[str, str] | Sequence[str]) -> Annotations:
    """Parse the annotations of an image, as an object or a list of ``K=V``."""
    if value == ():
        return ()  # as in most images, which do without the module
    from lamina.formats import annotations

    return annotations.parse_annotations(name, value)


def parse_media_types(name: str, value: str | None) -> MediaTypes | None:
    """Parse the name of a set of media types, or None for that of the destination."""
    from lamina.formats import media_types

    return None if value is None else media_types.parse_media_types(name, value)


def parse_jobs(name: str, value: int | None) -> int | None:
    """Parse a number of processors, or None."""
    from lamina.compression import compressors

    if value is None:
        return None
    with _named(name):
        return compressors.parse_jobs(value)


def parse_tree(name: str, value: Sequence[DeclaredEntry]) -> tuple[DeclaredEntry, ...]:
    """Parse declared entries, each as an object or in the form that spec files have, such as ``{dir = "/tmp"}``."""
    if not isinstance(value, Iterable) or isinstance(value, str | Mapping):
        raise _invalid_argument(name, value, "a list of entries")
    return tuple(_parse_entry(name, item) for item in value)


def _parse_entry(name: str, item: Any) -> DeclaredEntry:
    from lamina.rootfs.entries import Dir, File, Perm, Symlink, Xattr

    kinds: Mapping[str, type[DeclaredEntry]] = {
        "dir": Dir,
        "file": File,
        "symlink": Symlink,
        "perm": Perm,
        "xattr": Xattr,
    }
    if isinstance(item, Dir | File | Symlink | Perm | Xattr):
        return item
    if isinstance(item, Mapping) and len(item) == 1:
        ((kind, text),) = item.items()
        if kind in kinds:
            inner = name if name.startswith("--") else f"{name}.{kind}"  # each kind has an option of its own
            with _named(inner):
                return kinds[kind].parse(parse_text(inner, text))
    raise _invalid_argument(
        name,
        item,
        "a Dir, File, Symlink, Perm or Xattr, or {dir = …}, {file = …}, {symlink = …}, {perm = …}, {xattr = …}",
    )


def parse_users(name: str, value: str | User | Sequence[str | User]) -> tuple[User, ...]:
    """Parse users, each as an object or as ``NAME:UID[:GID[:HOME]]``; or a single one."""
    if isinstance(value, list | tuple) and not value:
        return ()  # as in most images, which do without the module
    from lamina.rootfs.users import User

    items = [value] if isinstance(value, str | User) else value
    if not isinstance(items, Iterable) or isinstance(items, Mapping | bytes):
        raise _invalid_argument(name, value, "a list of users")
    with _named(name):
        return tuple(item if isinstance(item, User) else User.parse(parse_text(name, item)) for item in items)


def parse_store(name: str, value: StrPath | StoreLike | Sequence[StrPath]) -> tuple[str, ...] | Store:
    """Parse the stores to read from; return a store of the caller's own as a `Store`."""
    from lamina.stores.store import StoreLike, adapt_store

    if isinstance(value, StoreLike):
        return adapt_store(value)
    if not isinstance(value, Iterable | os.PathLike):
        raise _invalid_argument(name, value, "a folder, a file, a URL, a list of them, or an object as StoreLike is")
    return _refuse_empty(name, parse_texts(name, value))


def _refuse_empty(name: str, texts: tuple[str, ...]) -> tuple[str, ...]:
    """Return ``texts``; raise `InvalidArgument` for an empty one, which an unset variable of a shell gives."""
    if "" in texts:
        raise _invalid_argument(name, "", "the name of a file or folder, or a URL")
    return texts


def parse_keys(name: str, value: str | Sequence[str]) -> tuple[PublicKey, ...]:
    """Parse public keys."""
    from lamina.formats.keys import PublicKey

    items = [value] if isinstance(value, str) else value
    if not isinstance(items, Iterable) or isinstance(items, Mapping | bytes):
        raise _invalid_argument(name, value, "a list of strings")
    with _named(name):
        return tuple(item if isinstance(item, PublicKey) else PublicKey.parse(parse_text(name, item)) for item in items)


def _invalid_argument(name: str, value: object, expected: str) -> InvalidArgument:
    return InvalidArgument(name, short_repr(value), expected)
