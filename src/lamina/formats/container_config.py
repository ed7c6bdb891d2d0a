"""The container config: what the OCI and Docker image specifications allow in it.

Invariant: a config that passed `check` decodes in every engine, which are strict about types and not about names.

OCI image-spec, config.md, "Properties"; Docker image specification v1.2 for ``Healthcheck``, ``OnBuild`` and the like.
"""

from __future__ import annotations

import difflib
import json
import math
import shlex
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from lamina.errors import InvalidArgument
from lamina.messages.redaction import MAX_VALUE_LENGTH, short_repr

_Check = Callable[[Any], bool]
_MAX_DEPTH = 64
MAX_SIZE = 1 << 20
"""The longest config. Linux starts no command of as many bytes."""
_MAX_WARNINGS = 10
# Python writes out integers of at most 4,300 digits.
_INTEGER_LIMIT = 10**4300
_MAX_KEY_LENGTH = 64
# Engines read numbers into 64 bits, one of them for the sign.
_INT64_LIMIT = 1 << 63


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -_INT64_LIMIT <= value < _INT64_LIMIT


def _is_text_list(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_label_map(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_text, (*value, *value.values())))


def _is_set(value: Any) -> bool:
    return isinstance(value, dict) and all(_is_text(key) and key and item == {} for key, item in value.items())


def _is_health_check(value: Any) -> bool:
    return isinstance(value, dict) and all(
        key not in _HEALTH or item is None or _HEALTH[key](item) for key, item in value.items()
    )


_HEALTH: Mapping[str, _Check] = {
    "Test": _is_text_list,
    "Interval": _is_number,
    "Timeout": _is_number,
    "StartPeriod": _is_number,
    "StartInterval": _is_number,
    "Retries": _is_number,
}
_TEXT = "a text", _is_text
_FLAG = "true or false", _is_flag
_NUMBER = "a whole number", _is_number
_TEXTS = "a list of texts", _is_text_list
_SET = "an object of names, each with the value {}", _is_set
_FIELDS: Mapping[str, tuple[str, _Check]] = {
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
    "Healthcheck": ("an object of Test, Interval, Timeout, StartPeriod, Retries", _is_health_check),
    "Hostname": _TEXT,
    "Image": _TEXT,
    "Labels": ("an object of texts", _is_label_map),
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


KEYS = tuple(_FIELDS)
_BY_LOWER = {name.lower(): name for name in _FIELDS}


def check(config: Any) -> tuple[str, ...]:
    """Warnings about keys that no specification names; raises `InvalidArgument` for a value of the wrong type.

    Engines take a key in any case, so its value is checked in any case.
    """
    if not isinstance(config, dict):
        raise InvalidArgument(f"config: got {short_repr(config)}, expected an object")
    _check_size(config)
    warnings = _warn_of_unknown("config", config, _FIELDS)
    for key, value in config.items():
        check_type(key, value)
        name = _BY_LOWER.get(str(key).lower())
        if name == "Env":
            _check_environment(value or ())
        if name == "Healthcheck":
            warnings += _warn_of_unknown("config.Healthcheck", value or {}, _HEALTH)
    return tuple(warnings)


def check_type(key: str, value: Any) -> None:
    """Raises `InvalidArgument` where ``key`` cannot have ``value``; None is as good as nothing."""
    name = _BY_LOWER.get(str(key).lower())
    expected, fits = _FIELDS[name] if name else ("", lambda _: True)
    if value is not None and not fits(value):
        raise InvalidArgument(
            f"config.{key}: got {short_repr(value)}, expected {expected}", hint=_fix_hint(key, value, expected)
        )


def _check_size(config: Mapping[str, Any]) -> None:
    try:
        size = len(json.dumps(config, default=str))
    except ValueError:  # a number of too many digits, which the check of its key refuses, or `sort_keys`
        return
    if size > MAX_SIZE:
        raise InvalidArgument(f"config: got {size} characters, expected at most {MAX_SIZE}")


def _warn_of_unknown(where: str, keys: Iterable[object], known: Mapping[str, object]) -> list[str]:
    """Return a warning about each of ``keys`` that is not ``known``; after some of them, one for the others."""
    unknown = [key for key in keys if key not in known]
    warnings = [
        f"{where}: got key {short_repr(key)}, expected one of the image specification{_suggest(str(key), known)}"
        for key in unknown[:_MAX_WARNINGS]
    ]
    more = len(unknown) - len(warnings)
    return [*warnings, f"{where}: got {more} more keys that are not in the image specification"] if more else warnings


def _suggest(key: str, known: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(key[:_MAX_KEY_LENGTH], known, 1, 0.6)
    return f"; did you mean {close[0]}?" if close else ""


def _check_environment(items: Sequence[str]) -> None:
    for item in items:
        name, equals, _ = item.partition("=")
        if not name or not equals:
            raise InvalidArgument(f"config.Env: got {short_repr(item)}, expected NAME=VALUE")


def sort_keys(value: Any, depth: int = 0) -> Any:
    """``value`` with the keys of every object ascending, as Nix writes JSON.

    Raises `InvalidArgument` for what JSON cannot hold, and for what is nested deeper than anybody means.
    """
    if depth > _MAX_DEPTH:
        raise InvalidArgument(f"config: got more than {_MAX_DEPTH} nested values, expected fewer")
    if isinstance(value, Mapping) and all(map(_is_text, value)):
        return {sort_keys(key): sort_keys(value[key], depth + 1) for key in sorted(value)}
    if isinstance(value, list | tuple):
        return [sort_keys(item, depth + 1) for item in value]
    if isinstance(value, str) and not _is_unicode(value):
        raise InvalidArgument(f"config: got {short_repr(value)}, expected text in Unicode")
    if isinstance(value, int) and not -_INTEGER_LIMIT < value < _INTEGER_LIMIT:
        raise InvalidArgument(f"config: got {short_repr(value)}, expected a number that Python writes out")
    if value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise InvalidArgument(f"config: got {short_repr(value)}, expected what JSON can hold")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _fix_hint(key: str, value: Any, expected: str) -> str:
    """What to write instead, in JSON."""
    if _is_text(value) and expected == _TEXTS[0] and len(value) <= MAX_VALUE_LENGTH:
        return f"write {key} as a list: {json.dumps(_split(value))}"
    if isinstance(value, list) and expected == _SET[0]:
        return f"write {key} as an object: {json.dumps({str(item): {} for item in value[:3]})}"
    return f"write {key} as {expected}"


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return [text]


def with_base_environment(config: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """``config`` with the ``Env`` of ``base`` before its own, each variable once.

    The last value wins and stands where the variable stood first (nixpkgs: dockerTools' streamer).
    """
    items = [*(base.get("Env") or ()), *(config.get("Env") or ())]
    if not items:
        return dict(config)
    return {**config, "Env": list({item.partition("=")[0]: item for item in items}.values())}


def inherit(config: Mapping[str, Any], base: Mapping[str, Any], keys: Collection[str]) -> dict[str, Any]:
    """``config`` with those of ``keys`` that ``base`` has; objects, such as ``Labels``, are merged, its own winning."""
    result = dict(config)
    for key in keys:
        own, other = config.get(key), base.get(key)
        if isinstance(own, Mapping) and isinstance(other, Mapping):
            result[key] = {name: {**other, **own}[name] for name in sorted({**other, **own})}
        elif own is None and other is not None:
            result[key] = other
    return {key: result[key] for key in sorted(result)} if keys else result
