"""Parse the header ``WWW-Authenticate``, with which a server says how a client can log in (RFC 9110, 11.6.1)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_WORD = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_SEPARATOR = re.compile(r"[\s,]*")
_PARAMETER = re.compile(rf'({_WORD})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*))')
_SCHEME = re.compile(_WORD)


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way to log in.

    Attributes:
        scheme: the scheme in lower case: ``basic``, ``bearer``.
        parameters: the parameters by their names in lower case, such as ``realm``.
    """

    scheme: str
    parameters: Mapping[str, str]


def parse_challenges(header: str) -> tuple[Challenge, ...]:
    """Return the challenges of a header. What does not follow the grammar ends the list."""
    found: list[tuple[str, dict[str, str]]] = []
    position = 0
    while True:
        separator = _SEPARATOR.match(header, position)
        position = separator.end() if separator else position
        parameter = _PARAMETER.match(header, position) if found else None
        word = parameter or _SCHEME.match(header, position)
        if word is None:
            break
        if parameter:
            name, quoted, plain = parameter.groups()
            value = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            found[-1][1].setdefault(name.lower(), value)
        else:
            found.append((word[0].lower(), {}))
        position = word.end()
    return tuple(Challenge(scheme, parameters) for scheme, parameters in found)
