"""The container config: a file, and the flags that are put over it.

Invariant: what a flag is put over has been checked, so a flag can only add to it or replace it.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from typing import Any

from lamina.errors import InvalidName, shown
from lamina.formats import config
from lamina.formats.documents import parse_json
from lamina.system.documents import read_document

_PORT_DIGITS = 5
_FLAGS = (
    "cmd",
    "entrypoint",
    "user",
    "workdir",
    "stop_signal",
    "env",
    "label",
    "expose",
    "volume",
)


def container_config(given: Any, flags: Mapping[str, Any]) -> dict[str, Any]:
    """``given``, over it the file of ``--config``, over that the flags.

    Raises `InvalidName`, `StoreError`, `FormatError`.
    """
    file = flags["config"]
    flags = {name: _as_utf8(flags[name]) for name in _FLAGS}
    container = _checked(given)
    if file:
        container |= _file(file)
    for flag, key in (("cmd", "Cmd"), ("entrypoint", "Entrypoint")):
        if flags[flag] is not None:
            container[key] = _words(flag, flags[flag])
    for flag, key in (("user", "User"), ("workdir", "WorkingDir"), ("stop_signal", "StopSignal")):
        if flags[flag] is not None:
            container[key] = flags[flag]
    if flags["env"]:
        container["Env"] = [*(container.get("Env") or ()), *flags["env"]]
    added: dict[str, dict[str, Any]] = {
        "Labels": dict(_pair("label", text) for text in flags["label"]),
        "ExposedPorts": {_port(text): {} for text in flags["expose"]},
        "Volumes": {text: {} for text in flags["volume"]},
    }
    container |= {key: {**(container.get(key) or {}), **value} for key, value in added.items() if value}
    return container


def _as_utf8(value: Any) -> Any:
    """Return the value of a flag with its bytes read as UTF-8, as an image's config has them.

    Under ``LC_ALL=C`` Python may read the command line as ASCII, and keeps other bytes as lone surrogates (PEP 383).
    """
    if isinstance(value, tuple):
        return tuple(map(_as_utf8, value))
    try:
        return os.fsencode(value).decode() if isinstance(value, str) else value
    except UnicodeError:
        return value


def _checked(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidName(f"config: got {shown(value)}, expected an object")
    ordered: dict[str, Any] = config.ordered(value)
    config.check(ordered)
    return ordered


def _file(name: str) -> dict[str, Any]:
    subject = f"config {name}"
    return _checked(parse_json(read_document(name, subject, "a file in JSON", limit=config.MOST_BYTES), subject))


def _words(flag: str, text: str) -> Any:
    try:
        return json.loads(text) if text.startswith("[") else shlex.split(text)
    except (ValueError, RecursionError) as error:
        raise InvalidName(
            f"{flag}: got {shown(text)} ({error}), expected a JSON list or words as a shell splits them"
        ) from error


def _pair(flag: str, text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise InvalidName(f"{flag}: got {shown(text)}, expected K=V")
    return key, value


def _port(text: str) -> str:
    number, slash, protocol = text.partition("/")
    digits = number.isascii() and number.isdigit() and len(number) <= _PORT_DIGITS
    if not digits or not 0 < int(number) < 1 << 16 or (slash and protocol not in ("tcp", "udp")):
        raise InvalidName(f"expose: got {shown(text)}, expected N, N/tcp or N/udp with N from 1 to 65535")
    return f"{number}/{protocol or 'tcp'}"
