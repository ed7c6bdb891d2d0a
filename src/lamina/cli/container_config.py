"""Build the container config from a file and from the flags that override it.

The file is validated before the flags are applied, so a flag always meets well-formed values to extend or replace.
"""

from __future__ import annotations

import os
import shlex
from typing import Any

from lamina.cli.image_options import ContainerOptions
from lamina.errors import FormatError, InvalidArgument, error_context
from lamina.formats.container_config import MAX_SIZE, parse
from lamina.formats.json_toml import parse_json
from lamina.messages.redaction import short_repr
from lamina.system.documents import read_json

_PORT_DIGITS = 5
_WORDS = "a JSON list or words as a shell splits them"


def build_container_config(default: Any, options: ContainerOptions) -> dict[str, Any]:
    """Return the container config of an image, with the keys that OCI and Docker use, such as ``Cmd`` and ``Env``.

    The file of ``--config`` overrides ``default``, and single flags override both. ``--env``, ``--label``, ``--expose``
    and ``--volume`` add to what is there.

    Args:
        default: The config from a spec file; anything but an object is an error.
        options: The options of the command.

    Raises:
        InvalidArgument: A flag or a key of the config has a bad value.
        InputError: The file is missing, or cannot be read.
        FormatError: The file is not valid JSON.
    """
    container = parse(default)
    if options.config:
        container |= _read_file(options.config)
    options = ContainerOptions(*map(_as_utf8, options))
    single = {
        "Cmd": _parse_words("--cmd", options.cmd),
        "Entrypoint": _parse_words("--entrypoint", options.entrypoint),
        "User": options.user,
        "WorkingDir": options.workdir,
        "StopSignal": options.stop_signal,
    }
    container |= {key: value for key, value in single.items() if value is not None}
    if options.env:
        container["Env"] = [*(container.get("Env") or ()), *options.env]
    added: dict[str, dict[str, Any]] = {
        "Labels": dict(_parse_pair("--label", text) for text in options.label),
        "ExposedPorts": {_parse_port(text): {} for text in options.expose},
        "Volumes": {text: {} for text in options.volume},
    }
    container |= {key: {**(container.get(key) or {}), **value} for key, value in added.items() if value}
    return container


def _as_utf8(value: Any) -> Any:
    """Return the value of a flag with its bytes decoded as UTF-8, the encoding of an image's config.

    Under ``LC_ALL=C`` Python may decode the command line as ASCII and keep other bytes as lone surrogates (PEP 383).
    Return ``value`` unchanged if its bytes are not UTF-8.
    """
    if isinstance(value, tuple):
        return tuple(map(_as_utf8, value))
    try:
        return os.fsencode(value).decode() if isinstance(value, str) else value
    except UnicodeError:
        return value


def _read_file(name: str) -> dict[str, Any]:
    subject = f"--config {name}"
    config = read_json(name, subject, "a file in JSON", limit=MAX_SIZE)
    with error_context(subject, InvalidArgument):
        return parse(config)


def _parse_words(flag: str, text: str | None) -> Any:
    if text is None:
        return None
    try:
        return parse_json(text, flag, _WORDS) if text.startswith("[") else shlex.split(text)
    except FormatError as error:
        raise error.convert(InvalidArgument) from error
    except ValueError as error:
        raise InvalidArgument(flag, f"{short_repr(text)} ({error})", _WORDS) from error


def _parse_pair(flag: str, text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise InvalidArgument(flag, short_repr(text), "K=V")
    return key, value


def _parse_port(text: str) -> str:
    number, slash, protocol = text.partition("/")
    digits = number.isascii() and number.isdigit() and len(number) <= _PORT_DIGITS
    if not digits or not 0 < int(number) < 1 << 16 or (slash and protocol not in ("tcp", "udp")):
        raise InvalidArgument("--expose", short_repr(text), "N, N/tcp or N/udp with N from 1 to 65535")
    return f"{number}/{protocol or 'tcp'}"
