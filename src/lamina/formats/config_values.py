"""Values of a container config that have the right type, but that engines refuse or misread when a container starts.

They are warnings, because nixpkgs' dockerTools and all engines accept such an image. The rules are those of the OCI
runtime-spec, config.md, "process" and "mounts", and of moby: ``signal.ParseSignal`` and ``validateHealthCheck``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from lamina.messages.redaction import short_repr
from lamina.messages.suggestions import format_suggestion

# The signals of Linux, without SIG. Engines accept them in any case, with and without SIG, and as numbers.
_SIGNALS = (
    *("ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL", "PIPE", "POLL"),
    *("PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU", "URG", "USR1"),
    *("USR2", "VTALRM", "WINCH", "XCPU", "XFSZ", "RTMIN", "RTMAX"),
)
_REALTIME_SIGNAL = re.compile(r"RTMIN\+(?:[1-9]|1[0-5])|RTMAX-(?:[1-9]|1[0-4])")
_MAX_SIGNAL = 64
_PORT = re.compile(r"[0-9]{1,5}(?:-[0-9]{1,5})?(?:/(?:tcp|udp|sctp))?")
_PROBES = ("NONE", "CMD", "CMD-SHELL")
_MILLISECOND = 10**6  # nanoseconds
_DURATIONS = ("Interval", "Timeout", "StartPeriod", "StartInterval")


def list_doubtful_values(config: Iterable[tuple[str, Any]]) -> Iterator[str]:
    """Yield warnings about the values of keys that are spelled as in the specifications, and have the right types."""
    values = dict(config)
    folder, signal = values.get("WorkingDir"), values.get("StopSignal")
    if folder and not folder.startswith("/"):
        yield _warn("WorkingDir", folder, "an absolute path")
    for volume in values.get("Volumes") or ():
        if not volume.startswith("/"):
            yield _warn("Volumes", volume, "absolute paths")
    for port in values.get("ExposedPorts") or ():
        if not _PORT.fullmatch(port):
            yield _warn("ExposedPorts", port, "N, N/tcp or N/udp")
    if signal and not _is_signal(signal):
        meant = format_suggestion(signal.upper(), [f"SIG{name}" for name in _SIGNALS])
        yield _warn("StopSignal", signal, "a signal of Linux, such as SIGINT") + (f"; {meant}" if meant else "")
    yield from _list_doubtful_checks(values.get("Healthcheck") or {})


def _list_doubtful_checks(check: Mapping[str, Any]) -> Iterator[str]:
    test = check.get("Test")
    if test and test[0] not in _PROBES:
        yield _warn("Healthcheck.Test", test[0], f"one of {', '.join(_PROBES)} as its first word")
    for key in _DURATIONS:
        value = check.get(key)
        if value and value < _MILLISECOND:
            meant = f"; did you mean {value}s?" if 0 < value <= 3600 else ""
            yield f"config.Healthcheck.{key}: got {value} nanoseconds, expected a millisecond or more{meant}"


def _is_signal(text: str) -> bool:
    if text.isascii() and text.isdigit():
        return 0 < int(text[:4]) <= _MAX_SIGNAL
    name = text.upper().removeprefix("SIG")
    return name in _SIGNALS or _REALTIME_SIGNAL.fullmatch(name) is not None


def _warn(key: str, value: str, expected: str) -> str:
    return f"config.{key}: got {short_repr(value)}, expected {expected}"
