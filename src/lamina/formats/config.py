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

from lamina.errors import InvalidName, shown
from lamina.messages.redaction import LONGEST_VALUE

_Check = Callable[[Any], bool]
_DEEPEST = 64
MOST_BYTES = 1 << 20
"""The longest config. Linux starts no command of as many bytes."""
_MOST_WARNINGS = 10
# Python writes out integers of at most 4,300 digits.
_LARGEST = 10**4300
_LONGEST_KEY = 64
# Engines read numbers into 64 bits, one of them for the sign.
_NUMBERS = 1 << 63


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -_NUMBERS <= value < _NUMBERS


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_text, value))


def _labels(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_text, (*value, *value.values())))


def _set(value: Any) -> bool:
    return isinstance(value, dict) and all(_text(key) and key and item == {} for key, item in value.items())


def _health(value: Any) -> bool:
    return isinstance(value, dict) and all(
        key not in _HEALTH or item is None or _HEALTH[key](item) for key, item in value.items()
    )


_HEALTH: Mapping[str, _Check] = {
    "Test": _texts,
    "Interval": _number,
    "Timeout": _number,
    "StartPeriod": _number,
    "StartInterval": _number,
    "Retries": _number,
}
_TEXT = "a text", _text
_FLAG = "true or false", _flag
_NUMBER = "a whole number", _number
_TEXTS = "a list of texts", _texts
_SET = "an object of names, each with the value {}", _set
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
    "Healthcheck": ("an object of Test, Interval, Timeout, StartPeriod, Retries", _health),
    "Hostname": _TEXT,
    "Image": _TEXT,
    "Labels": ("an object of texts", _labels),
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
    """Warnings about keys that no specification names; raises `InvalidName` for a value of the wrong type.

    Engines take a key in any case, so its value is checked in any case.
    """
    if not isinstance(config, dict):
        raise InvalidName(f"config: got {shown(config)}, expected an object")
    _check_size(config)
    warnings = _unknown("config", config, _FIELDS)
    for key, value in config.items():
        check_type(key, value)
        name = _BY_LOWER.get(str(key).lower())
        if name == "Env":
            _check_environment(value or ())
        if name == "Healthcheck":
            warnings += _unknown("config.Healthcheck", value or {}, _HEALTH)
    return tuple(warnings)


def check_type(key: str, value: Any) -> None:
    """Raises `InvalidName` where ``key`` cannot have ``value``; None is as good as nothing."""
    name = _BY_LOWER.get(str(key).lower())
    expected, fits = _FIELDS[name] if name else ("", lambda _: True)
    if value is not None and not fits(value):
        raise InvalidName(f"config.{key}: got {shown(value)}, expected {expected}", hint=_mend(key, value, expected))


def _check_size(config: Mapping[str, Any]) -> None:
    try:
        size = len(json.dumps(config, default=str))
    except ValueError:  # a number of too many digits, which the check of its key refuses, or `ordered`
        return
    if size > MOST_BYTES:
        raise InvalidName(f"config: got {size} characters, expected at most {MOST_BYTES}")


def _unknown(where: str, keys: Iterable[object], known: Mapping[str, object]) -> list[str]:
    """Return a warning about each of ``keys`` that is not ``known``; after some of them, one for the others."""
    unknown = [key for key in keys if key not in known]
    warnings = [
        f"{where}: got key {shown(key)}, expected one of the image specification{_meant(str(key), known)}"
        for key in unknown[:_MOST_WARNINGS]
    ]
    more = len(unknown) - len(warnings)
    return [*warnings, f"{where}: got {more} more keys that are not in the image specification"] if more else warnings


def _meant(key: str, known: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(key[:_LONGEST_KEY], known, 1, 0.6)
    return f"; did you mean {close[0]}?" if close else ""


def _check_environment(items: Sequence[str]) -> None:
    for item in items:
        name, equals, _ = item.partition("=")
        if not name or not equals:
            raise InvalidName(f"config.Env: got {shown(item)}, expected NAME=VALUE")


def ordered(value: Any, depth: int = 0) -> Any:
    """``value`` with the keys of every object ascending, as Nix writes JSON.

    Raises `InvalidName` for what JSON cannot hold, and for what is nested deeper than anybody means.
    """
    if depth > _DEEPEST:
        raise InvalidName(f"config: got more than {_DEEPEST} nested values, expected fewer")
    if isinstance(value, Mapping) and all(map(_text, value)):
        return {ordered(key): ordered(value[key], depth + 1) for key in sorted(value)}
    if isinstance(value, list | tuple):
        return [ordered(item, depth + 1) for item in value]
    if isinstance(value, str) and not _is_unicode(value):
        raise InvalidName(f"config: got {shown(value)}, expected text in Unicode")
    if isinstance(value, int) and not -_LARGEST < value < _LARGEST:
        raise InvalidName(f"config: got {shown(value)}, expected a number that Python writes out")
    if value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise InvalidName(f"config: got {shown(value)}, expected what JSON can hold")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _mend(key: str, value: Any, expected: str) -> str:
    """What to write instead, in JSON."""
    if _text(value) and expected == _TEXTS[0] and len(value) <= LONGEST_VALUE:
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


def inherited(config: Mapping[str, Any], base: Mapping[str, Any], keys: Collection[str]) -> dict[str, Any]:
    """``config`` with those of ``keys`` that ``base`` has; objects, such as ``Labels``, are merged, its own winning."""
    result = dict(config)
    for key in keys:
        own, other = config.get(key), base.get(key)
        if isinstance(own, Mapping) and isinstance(other, Mapping):
            result[key] = {name: {**other, **own}[name] for name in sorted({**other, **own})}
        elif own is None and other is not None:
            result[key] = other
    return {key: result[key] for key in sorted(result)} if keys else result
