"""The container config of an image: validation, merging with a base image, and the order of its keys.

`check` accepts only configs that every container engine can decode. Engines require the right types of values and
ignore unknown keys.

The keys are those of the OCI image-spec, config.md, "Properties", and of the Docker image specification v1.2
(``Healthcheck``, ``OnBuild`` and others).
"""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from lamina.core.callbacks import accept
from lamina.errors import InvalidArgument
from lamina.formats.config_values import list_doubtful_values
from lamina.formats.durations import parse_duration
from lamina.formats.json_toml import is_unicode
from lamina.messages.redaction import MAX_VALUE_LENGTH, short_repr
from lamina.messages.suggestions import format_suggestion

_Check = Callable[[Any], bool]
_MAX_DEPTH = 64
MAX_SIZE = 1 << 20
"""The largest config, in characters of JSON. Linux limits the arguments of a command to a size of this order."""
_MAX_WARNINGS = 10
# Python converts integers of at most 4,300 digits to text.
_INTEGER_LIMIT = 10**4300
# Engines read numbers as signed 64-bit integers.
_INT64_LIMIT = 1 << 63


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -_INT64_LIMIT <= value < _INT64_LIMIT


def _is_text_list(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_label_map(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_text, (*value, *value.values())))


def _is_name_set(value: Any) -> bool:
    # Go reads null as the empty object.
    return isinstance(value, dict) and all(_is_text(key) and key and item in ({}, None) for key, item in value.items())


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


_TEXT = "a string", _is_text
_FLAG = "true or false", _is_bool
_NUMBER = "a whole number", _is_number
_TEXTS = "a list of strings", _is_text_list
_DURATION = "a number of nanoseconds, or a duration such as 30s or 1m30s", _is_number
_SET = "an object of names, each with the value {}", _is_name_set
HEALTHCHECK_FIELDS: Mapping[str, tuple[str, _Check]] = {
    "Test": _TEXTS,
    "Interval": _DURATION,
    "Timeout": _DURATION,
    "StartPeriod": _DURATION,
    "StartInterval": _DURATION,
    "Retries": _NUMBER,
}
FIELDS: Mapping[str, tuple[str, _Check]] = {
    "ArgsEscaped": _FLAG,
    "AttachStderr": _FLAG,
    "AttachStdin": _FLAG,
    "AttachStdout": _FLAG,
    "Cmd": _TEXTS,
    "CpuShares": _NUMBER,
    "Domainname": _TEXT,
    "Entrypoint": _TEXTS,
    "Env": _TEXTS,
    "ExposedPorts": _SET,
    "Healthcheck": ("an object of Test, Interval, Timeout, StartPeriod, Retries", _is_object),
    "Hostname": _TEXT,
    "Image": _TEXT,
    "Labels": ("an object whose values are strings", _is_label_map),
    "MacAddress": _TEXT,
    "Memory": _NUMBER,
    "MemorySwap": _NUMBER,
    "NetworkDisabled": _FLAG,
    "OnBuild": _TEXTS,
    "OpenStdin": _FLAG,
    "Shell": _TEXTS,
    "StdinOnce": _FLAG,
    "StopSignal": _TEXT,
    "StopTimeout": _NUMBER,
    "Tty": _FLAG,
    "User": _TEXT,
    "Volumes": _SET,
    "WorkingDir": _TEXT,
}


KEYS = tuple(FIELDS)
_BY_LOWER = {name.lower(): name for name in FIELDS}


def parse(value: Any) -> dict[str, Any]:
    """Parse a container config from the values of JSON.

    Keys are sorted, and a duration in ``Healthcheck``, such as ``30s``, becomes a number of nanoseconds, which is all
    that engines read. None is an empty config, as it is for Go.

    Raises what `check` and `sort_keys` raise.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidArgument("config", short_repr(value), "an object")
    config = {key: _convert_durations(key, item) for key, item in sort_keys(value).items()}
    check(config)
    return config


def _convert_durations(key: str, value: Any) -> Any:
    if _BY_LOWER.get(key.lower()) != "Healthcheck" or not isinstance(value, dict):
        return value
    return {name: _convert_duration(name, item) for name, item in value.items()}


def _convert_duration(name: str, value: Any) -> Any:
    is_duration = HEALTHCHECK_FIELDS.get(name) == _DURATION and isinstance(value, str)
    nanoseconds = parse_duration(value) if is_duration else None
    return value if nanoseconds is None else nanoseconds


def check(config: Any) -> tuple[str, ...]:
    """Check a container config and return warnings about unknown keys, and about values that engines refuse.

    Engines match keys case-insensitively, so the types of values are checked that way too.

    Raises:
        InvalidArgument: the config is not an object or too large, or a value has the wrong type.

    """
    if not isinstance(config, dict):
        raise InvalidArgument("config", short_repr(config), "an object")
    _check_size(config)
    warnings = _warn_of_unknown("config", config, FIELDS)
    for key, value in config.items():
        check_type(key, value)
        name = _BY_LOWER.get(str(key).lower())
        if name == "Env":
            _check_environment(value or ())
        if name == "Healthcheck":
            warnings += _warn_of_unknown("config.Healthcheck", value or {}, HEALTHCHECK_FIELDS)
    named = ((_BY_LOWER.get(str(key).lower(), ""), value) for key, value in config.items())
    return *warnings, *islice(list_doubtful_values(named), _MAX_WARNINGS)


def check_type(key: str, value: Any) -> None:
    """Check that ``key`` can have ``value``; every key can be None. Raises `InvalidArgument`."""
    name = _BY_LOWER.get(str(key).lower())
    _check_field(f"config.{key}", key, value, FIELDS.get(name or ""))
    if name == "Healthcheck":
        for field, item in (value or {}).items():
            _check_field(f"config.{key}.{field}", field, item, HEALTHCHECK_FIELDS.get(field))


def _check_field(subject: str, key: str, value: Any, field: tuple[str, _Check] | None) -> None:
    expected, fits = field or ("", accept)
    if value is not None and not fits(value):
        raise InvalidArgument(subject, short_repr(value), expected, hint=_fix_hint(key, value, expected))


def _check_size(config: Mapping[str, Any]) -> None:
    try:
        size = len(json.dumps(config, default=str))
    except ValueError:  # A number has too many digits; `check_type` or `sort_keys` refuses it.
        return
    if size > MAX_SIZE:
        raise InvalidArgument("config", f"{size} characters", f"at most {MAX_SIZE}")


def _warn_of_unknown(subject: str, keys: Iterable[object], known: Mapping[str, object]) -> list[str]:
    """Return warnings about the first ten of ``keys`` that are not ``known``, and one that counts the others."""
    unknown = [key for key in keys if key not in known]
    warnings = [
        "; ".join(
            filter(
                None,
                (
                    f"{subject}: got key {short_repr(key)}, expected one of the image specification",
                    format_suggestion(str(key), known),
                ),
            )
        )
        for key in unknown[:_MAX_WARNINGS]
    ]
    more = len(unknown) - len(warnings)
    return [*warnings, f"{subject}: got {more} more keys that are not in the image specification"] if more else warnings


def _check_environment(items: Sequence[str]) -> None:
    for item in items:
        name, equals, _ = item.partition("=")
        if not name or not equals:
            raise InvalidArgument("config.Env", short_repr(item), "NAME=VALUE")


def sort_keys(value: Any, depth: int = 0) -> Any:
    """Return ``value`` with the keys of all objects in ascending order, as Nix writes JSON.

    Raises:
        InvalidArgument: JSON cannot represent the value, or the value is nested more than 64 levels deep.

    """
    if depth > _MAX_DEPTH:
        raise InvalidArgument("config", f"values nested more than {_MAX_DEPTH} levels deep", "fewer levels")
    if isinstance(value, Mapping) and all(map(_is_text, value)):
        return {sort_keys(key): sort_keys(value[key], depth + 1) for key in sorted(value)}
    if isinstance(value, list | tuple):
        return [sort_keys(item, depth + 1) for item in value]
    if isinstance(value, str) and not is_unicode(value):
        raise InvalidArgument("config", short_repr(value), "valid Unicode")
    if isinstance(value, int) and not -_INTEGER_LIMIT < value < _INTEGER_LIMIT:
        raise InvalidArgument("config", short_repr(value), "an integer of at most 4300 digits")
    if value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise InvalidArgument("config", short_repr(value), "a value that JSON can represent")


def _fix_hint(key: str, value: Any, expected: str) -> str:
    """Return a hint with the value that the user probably meant, in JSON."""
    if _is_text(value) and expected == _TEXTS[0] and len(value) <= MAX_VALUE_LENGTH:
        return f"write {key} as a list: {json.dumps(_split_words(value))}"
    if isinstance(value, list) and expected == _SET[0]:
        return f"write {key} as an object: {json.dumps({str(item): {} for item in value[:3]})}"
    if _is_text(value) and expected == _DURATION[0] and (nanoseconds := parse_duration(value)) is not None:
        return f"write {key} in nanoseconds: {nanoseconds}"
    return f"write {key} as {expected}"


def _split_words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return [text]


def merge_environment(config: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``config`` with the variables of ``base`` before its own in ``Env``, each variable once.

    A variable keeps the position of its first value and gets its last value (nixpkgs: dockerTools' streamer).
    """
    items = [*(base.get("Env") or ()), *(config.get("Env") or ())]
    if not items:
        return dict(config)
    return {**config, "Env": list({item.partition("=")[0]: item for item in items}.values())}


def inherit(config: Mapping[str, Any], base: Mapping[str, Any], keys: Collection[str]) -> dict[str, Any]:
    """Return ``config``, with values from ``base`` for those of ``keys`` that ``config`` lacks.

    Values that are objects, for example ``Labels``, are merged; the entries of ``config`` take precedence.
    """
    result = dict(config)
    for key in keys:
        own, other = config.get(key), base.get(key)
        if isinstance(own, Mapping) and isinstance(other, Mapping):
            result[key] = {name: {**other, **own}[name] for name in sorted({**other, **own})}
        elif own is None and other is not None:
            result[key] = other
    return {key: result[key] for key in sorted(result)} if keys else result
