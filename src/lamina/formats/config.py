"""The container config: what the OCI and Docker image specifications allow in it.

Invariant: a config that passed `check` decodes in every engine, which are strict about types and not about names.

OCI image-spec, config.md, "Properties"; Docker image specification v1.2 for ``Healthcheck``, ``OnBuild`` and the like.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping
from typing import Any

from lamina.errors import InvalidName, shown

_Check = Callable[[Any], bool]
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
    return isinstance(value, dict) and all(map(_text, value)) and all(item == {} for item in value.values())


def _health(value: Any) -> bool:
    return isinstance(value, dict) and all(
        key in _HEALTH and (item is None or _HEALTH[key](item)) for key, item in value.items()
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
_SET = "an object whose values are {}", _set
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


def check(config: Any) -> tuple[str, ...]:
    """Warnings about keys that no specification names; raises `InvalidName` for a value of the wrong type."""
    if not isinstance(config, dict):
        raise InvalidName(f"config: got {shown(config)}, expected an object")
    warnings = []
    for key, value in config.items():
        if key not in _FIELDS:
            close = difflib.get_close_matches(str(key), _FIELDS, 1, 0.6)
            meant = f"; did you mean {close[0]}?" if close else ""
            warnings.append(f"config: got key {key!r}, expected one of the image specification{meant}")
            continue
        expected, fits = _FIELDS[key]
        if value is not None and not fits(value):
            raise InvalidName(
                f"config.{key}: got {shown(value)}, expected {expected}", hint=_mend(key, value, expected)
            )
    for item in config.get("Env") or ():
        if "=" not in item:
            raise InvalidName(f"config.Env: got {item!r}, expected NAME=VALUE")
    return tuple(warnings)


def ordered(value: Any) -> Any:
    """``value`` with the keys of every object ascending, as Nix writes JSON.

    Raises `InvalidName` for what JSON cannot hold.
    """
    if isinstance(value, Mapping) and all(map(_text, value)):
        return {key: ordered(value[key]) for key in sorted(value)}
    if isinstance(value, list | tuple):
        return [ordered(item) for item in value]
    if value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise InvalidName(f"config: got {shown(value)}, expected what JSON can hold")


def _mend(key: str, value: Any, expected: str) -> str:
    if _text(value) and expected == _TEXTS[0]:
        return f"write {key} as a list: [{value!r}]"
    if isinstance(value, list) and expected == _SET[0]:
        return f"write {key} as an object: {{{', '.join(f'{item!r}: {{}}' for item in value[:3])}}}"
    return f"write {key} as {expected}"
